"""The operator-signed list of Metadata's public identity keys, pinned out of band.

A JSON file for people to look at. The operator's signature covers `signing_input`, the canonical
JSON of the list of identities.
"""

from base64 import b64encode
from dataclasses import dataclass, field

import msgspec

from svc_core.errors import MalformedMessageError, OversizedMessageError
from svc_core.wire.documents import read_base64
from svc_core.wire.fields import read_token, require
from svc_core.wire.key_records import PUBLIC_SIZES

LIMIT = 64 * 1024
"""Most bytes of one encoded list."""


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """One identity key by its id."""

    id: str
    algorithm: str
    public: bytes = field(repr=False)
    """Raw; 2,592 bytes for ML-DSA-87."""


@dataclass(frozen=True, slots=True)
class SignedIdentities:
    """The list and the operator's signature over it."""

    identities: tuple[PublicIdentity, ...]
    signature: bytes = field(repr=False)


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    algorithm: str
    public: str


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identities: list[_Identity]
    signature: str


def signing_input(identities: tuple[PublicIdentity, ...]) -> bytes:
    """Return what the operator's signature covers."""
    return msgspec.json.encode([_written(i) for i in identities], order="sorted")


def encode(signed: SignedIdentities) -> bytes:
    """Return ``signed`` as indented JSON."""
    document = _List([_written(i) for i in signed.identities], b64encode(signed.signature).decode())
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode(raw: bytes) -> SignedIdentities:
    """Return the list in ``raw``; its signature is not checked here.

    Raises:
        OversizedMessageError: more than 64 KiB.
        MalformedMessageError: no list, an empty one, an id twice, or a key of the wrong size.
    """
    if len(raw) > LIMIT:
        raise OversizedMessageError(f"the list of identities has {len(raw)} bytes")
    try:
        document = msgspec.json.decode(raw, type=_List)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise MalformedMessageError("not a list of identities") from err
    identities = tuple(_read(i) for i in document.identities)
    require(bool(identities), "the list of identities is empty")
    require(len({i.id for i in identities}) == len(identities), "an identity is listed twice")
    return SignedIdentities(identities, read_base64(document.signature))


def _written(identity: PublicIdentity) -> _Identity:
    return _Identity(identity.id, identity.algorithm, b64encode(identity.public).decode())


def _read(identity: _Identity) -> PublicIdentity:
    public = read_base64(identity.public)
    require(
        PUBLIC_SIZES.get(identity.algorithm) == len(public), "an identity key has the wrong size"
    )
    return PublicIdentity(read_token(identity.id, "identity id"), identity.algorithm, public)
