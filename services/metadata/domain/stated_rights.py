"""The rights in force, as OpenBao keeps them: what the last good manifest granted.

Revoked services are still among them: who is revoked is said by the ledger of keys. Nothing in here
is secret. The term is that of the lease under which they were written, so that each new holder
replaces what it finds, and the write of a former one, which expects that, fails by itself. That
the document is whole is known from its head, which has the SHA-256 of all of it.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from svc_core.domain.acl import Acl, ServicePermissions
from svc_core.domain.identity import ServiceName, service_name, subject
from svc_core.errors import MalformedMessageError, OversizedMessageError
from svc_core.wire.documents import Int64, decode_json, encode_json

RIGHTS_PATH: Final = "transport/rights"
"""A document that is stored in parts when it is large."""
LIMIT: Final = 32 << 20
"""Most bytes of one document; the largest manifest that is accepted makes less than 6 MiB."""

_FORMAT: Final = "stated-rights/1"


@dataclass(frozen=True, slots=True)
class StatedRights:
    """Rights as a manifest stated them, and under which lease they were taken over."""

    acl: Acl
    term: int
    """0 when nobody held the lease yet: the very first."""


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    publish: list[str]
    subscribe: list[str]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    term: Int64
    roles: dict[str, _Lists]


def encode(rights: StatedRights) -> bytes:
    """Return ``rights`` as canonical JSON: UTF-8, no white space, everything sorted."""
    return encode_json(
        _Document(
            format=_FORMAT,
            term=rights.term,
            roles={
                service: _Lists(sorted(p.publish), sorted(p.subscribe))
                for service, p in rights.acl.services.items()
            },
        )
    )


def decode(raw: bytes) -> StatedRights:
    """Return the rights in ``raw``; any bytes give them or an error.

    Raises:
        OversizedMessageError: more than 32 MiB.
        MalformedMessageError: not such a document.
    """
    if len(raw) > LIMIT:
        raise OversizedMessageError(f"stated rights of {len(raw)} bytes")
    document = decode_json(raw, _Document)
    if document.format != _FORMAT or document.term < 0:
        raise MalformedMessageError("unknown format of stated rights")
    try:
        acl = Acl(dict(_permissions(name, lists) for name, lists in document.roles.items()))
    except ValueError as err:
        raise MalformedMessageError(f"stated rights: {err}") from err
    return StatedRights(acl, document.term)


def _permissions(name: str, lists: _Lists) -> tuple[ServiceName, ServicePermissions]:
    publish, subscribe = (
        frozenset(map(subject, topics)) for topics in (lists.publish, lists.subscribe)
    )
    if sorted(publish) != lists.publish or sorted(subscribe) != lists.subscribe:
        raise ValueError(f"the lists of {name!r} are not sorted, or say something twice")
    return service_name(name), ServicePermissions(publish, subscribe)
