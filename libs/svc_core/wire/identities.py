"""The operator-signed list of Metadata's public identity keys, pinned out of band.

A JSON file for people to look at. The operator's signature covers `signing_input`: canonical JSON
of the identities alone in a list of version 0, and of all there is in a later one (ADR-0024).
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final

import msgspec

from svc_core.errors import MalformedMessageError, OversizedMessageError
from svc_core.wire.documents import read_base64
from svc_core.wire.fields import read_token, require
from svc_core.wire.key_records import PUBLIC_SIZES

LIMIT = 64 * 1024
"""Most bytes of one encoded list."""
MOST_FORMER: Final = 8
"""Most identities of a list that are kept for what they signed in the past."""
LATEST: Final = 2**53 - 1
"""Highest version of a list."""


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
    """Who signs for Metadata now."""
    signature: bytes = field(repr=False)
    version: int = 0
    """Grows with every list; 0 for lists from before they had one."""
    former: tuple[PublicIdentity, ...] = ()
    """Who did once, oldest first: valid for the audit log's past and for nothing else."""

    @property
    def signing_input(self) -> bytes:
        """What the operator's signature covers."""
        return signing_input(self.identities, version=self.version, former=self.former)


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    algorithm: str
    public: str


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    identities: list[_Identity]
    signature: str
    version: int = 0
    former: list[_Identity] = []


class _Covered(msgspec.Struct, frozen=True):
    former: list[_Identity]
    identities: list[_Identity]
    version: int


def signing_input(
    identities: tuple[PublicIdentity, ...],
    *,
    version: int = 0,
    former: tuple[PublicIdentity, ...] = (),
) -> bytes:
    """Return what the operator's signature covers.

    An array for version 0, an object for every other: neither can pass for the other.

    Raises:
        ValueError: a list of version 0 has no former identities.
    """
    listed = [_written(i) for i in identities]
    if version == 0:
        if former:
            raise ValueError("a list of version 0 has no former identities")
        return msgspec.json.encode(listed, order="sorted")
    covered = _Covered([_written(i) for i in former], listed, version)
    return msgspec.json.encode(covered, order="sorted")


def encode(signed: SignedIdentities) -> bytes:
    """Return ``signed`` as indented JSON; version 0 as it was before lists had versions."""
    document = _List(
        [_written(i) for i in signed.identities],
        b64encode(signed.signature).decode(),
        signed.version,
        [_written(i) for i in signed.former],
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode(raw: bytes) -> SignedIdentities:
    """Return the list in ``raw``; its signature is not checked here.

    Raises:
        OversizedMessageError: more than 64 KiB.
        MalformedMessageError: no list, an empty one, an id twice, a key of the wrong size, a
            version out of range, or more former identities than 8, or than none in version 0.
    """
    if len(raw) > LIMIT:
        raise OversizedMessageError(f"the list of identities has {len(raw)} bytes")
    try:
        document = msgspec.json.decode(raw, type=_List)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise MalformedMessageError("not a list of identities") from err
    identities = tuple(_read(i) for i in document.identities)
    require(bool(identities), "the list of identities is empty")
    former = tuple(_read(i) for i in document.former)
    ids = [i.id for i in (*identities, *former)]
    require(len(set(ids)) == len(ids), "an identity is listed twice")
    require(0 <= document.version <= LATEST, "a list has no such version")
    require(len(former) <= MOST_FORMER, "the list has too many former identities")
    require(document.version > 0 or not former, "a list of version 0 has no former identities")
    signature = read_base64(document.signature)
    return SignedIdentities(identities, signature, document.version, former)


def _written(identity: PublicIdentity) -> _Identity:
    return _Identity(identity.id, identity.algorithm, b64encode(identity.public).decode())


def _read(identity: _Identity) -> PublicIdentity:
    public = read_base64(identity.public)
    require(
        PUBLIC_SIZES.get(identity.algorithm) == len(public), "an identity key has the wrong size"
    )
    return PublicIdentity(read_token(identity.id, "identity id"), identity.algorithm, public)
