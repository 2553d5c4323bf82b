"""Reading what NATS servers say of themselves. Total: any bytes give a value or one error."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from services.watcher.domain.server_files import MATERIAL_TAG
from svc_core.errors import MalformedMessageError

UNKNOWN: Final = "?"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server as it answered a VARZ request."""

    name: str
    server_id: str
    config_loaded_at: str
    """As the server wrote it; only compared for having moved."""
    material: str
    """Digest of the files it has loaded, from its own tag; empty before the first reload."""


@dataclass(frozen=True, slots=True)
class LiveConnection:
    """One client connection as CONNZ lists it."""

    cid: int
    user: str
    fingerprints: tuple[str, ...]
    """SHA-256 of each certificate the client sent, lower-case hex; leaf first."""

    @property
    def leaf(self) -> str:
        """The first of them; empty without a certificate."""
        return self.fingerprints[0] if self.fingerprints else ""


def read_varz(raw: bytes) -> ServerFacts:
    """Return the facts in a VARZ answer, or raise `MalformedMessageError`."""
    answer = _answer(raw)
    try:
        data, server = answer["data"], answer["server"]
        return ServerFacts(
            str(server["name"]),
            str(server["id"]),
            str(data["config_load_time"]),
            _material(data.get("tags") or ()),
        )
    except (KeyError, TypeError) as err:
        raise MalformedMessageError("VARZ without name, id or load time") from err


def read_connz(raw: bytes) -> tuple[LiveConnection, ...]:
    """Return the client connections in a CONNZ answer, or raise `MalformedMessageError`."""
    answer = _answer(raw)
    try:
        return tuple(
            LiveConnection(
                int(c["cid"]),
                str(c.get("authorized_user", "")),
                tuple(str(p.get("cert_sha256", "")).lower() for p in c.get("tls_peer_certs") or ()),
            )
            for c in answer["data"].get("connections") or ()
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise MalformedMessageError("CONNZ that cannot be read") from err


def read_reload_error(raw: bytes) -> str:
    """Return the error of a RELOAD answer, or the empty string when it went well."""
    error = _answer(raw).get("error")
    if not error:
        return ""
    return (
        str(error.get("description", "no reason given")) if isinstance(error, dict) else str(error)
    )


def service_of(connection: LiveConnection) -> str:
    """Return the last part of the user's SPIFFE id: the service, or another account."""
    return connection.user.rpartition("/sa/")[2]


def issuer_of(connection: LiveConnection, issuers: Mapping[str, str]) -> str:
    """Return the issuer's name by its certificate's fingerprint, or ``?``."""
    for fingerprint in connection.fingerprints[1:]:
        if fingerprint in issuers:
            return issuers[fingerprint]
    return UNKNOWN


def count_by_issuer(
    connections: Iterable[LiveConnection], issuers: Mapping[str, str]
) -> dict[str, int]:
    """Return how many connections use each issuer."""
    counts: dict[str, int] = {}
    for connection in connections:
        name = issuer_of(connection, issuers)
        counts[name] = counts.get(name, 0) + 1
    return counts


def _material(tags: Iterable[Any]) -> str:
    marked = (str(tag) for tag in tags if str(tag).startswith(MATERIAL_TAG))
    return next(marked, "").removeprefix(MATERIAL_TAG)


def _answer(raw: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise MalformedMessageError("a server's answer is not JSON") from err
    if not isinstance(answer, dict):
        raise MalformedMessageError("a server's answer is no object")
    return answer
