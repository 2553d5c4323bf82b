"""The journal as the JSON-shaped document that the secret store holds.

What was added later has a default, so that a journal of an older version is read as it was meant.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.metadata.domain.issuers import Issuer, IssuerState
from services.metadata.domain.journal import Journal, Lease, Setback
from services.metadata.domain.root_codec import decode_roots, encode_roots
from services.metadata.domain.roots import FIRST_ROOT
from svc_core.domain.audit import DIGEST_SIZE, AuditHead
from svc_core.domain.desired import CutLeaf, TrustMode
from svc_core.domain.identity import service_name
from svc_core.errors import MalformedMessageError


def encode(journal: Journal) -> dict[str, object]:
    """Return the journal as a JSON-shaped document."""
    return {
        "version": journal.version,
        "highest_epoch": journal.highest_epoch,
        "attempts": journal.attempts,
        "kicked": list(journal.kicked),
        "grants_digest": journal.grants_digest,
        "lease": {
            "holder": journal.lease.holder,
            "term": journal.lease.term,
            "beat": journal.lease.beat,
        },
        "setback": {
            "count": journal.setback.count,
            "epoch": journal.setback.epoch,
            "resume": journal.setback.resume,
            "attempt": journal.setback.attempt,
        },
        "last_order": journal.last_order,
        "audit": _written_head(journal.audit),
        "stated": _written_head(journal.stated),
        "is_hurried": journal.is_hurried,
        "cut_leaves": [
            {"service": c.service, "fingerprint": c.fingerprint} for c in journal.cut_leaves
        ],
        "fenced": list(journal.fenced),
        "roots": encode_roots(journal.roots),
        "trust_mode": journal.trust_mode.value,
        "issuers": [_written(issuer) for issuer in journal.issuers],
    }


def decode(document: Mapping[str, Any]) -> Journal:
    """Return the journal in ``document``, or raise `MalformedMessageError`."""
    try:
        return Journal(
            version=int(document["version"]),
            highest_epoch=int(document["highest_epoch"]),
            attempts=int(document.get("attempts", 1)),
            kicked=tuple(str(k) for k in document["kicked"]),
            grants_digest=str(document["grants_digest"]),
            lease=Lease(
                str(document["lease"]["holder"]),
                int(document["lease"]["term"]),
                int(document["lease"]["beat"]),
            ),
            setback=_setback(document.get("setback")),
            last_order=str(document.get("last_order", "")),
            audit=_head(document.get("audit")),
            stated=_head(document.get("stated")),
            is_hurried=bool(document.get("is_hurried", False)),
            cut_leaves=tuple(_cut_leaf(c) for c in document.get("cut_leaves", ())),
            fenced=tuple(str(name) for name in document.get("fenced", ())),
            roots=decode_roots(document.get("roots")),
            trust_mode=TrustMode(document.get("trust_mode", TrustMode.INTERMEDIATES)),
            issuers=tuple(_issuer(i) for i in document["issuers"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as err:
        raise MalformedMessageError(f"the journal cannot be read: {err}") from err


def _written(issuer: Issuer) -> dict[str, object]:
    return {
        "name": issuer.name,
        "epoch": issuer.epoch,
        "state": issuer.state.value,
        "since": issuer.since.isoformat(),
        "version": issuer.version,
        "pem": issuer.pem,
        "route_pem": issuer.route_pem,
        "not_after": issuer.not_after.isoformat() if issuer.not_after else None,
        "is_tainted": issuer.is_tainted,
        "is_silenced": issuer.is_silenced,
        "attempt": issuer.attempt,
        "root": issuer.root,
    }


def _issuer(document: Mapping[str, Any]) -> Issuer:
    not_after = document["not_after"]
    return Issuer(
        name=str(document["name"]),
        epoch=int(document["epoch"]),
        state=IssuerState(document["state"]),
        since=_instant(document["since"]),
        version=int(document["version"]),
        pem=str(document["pem"]),
        route_pem=str(document["route_pem"]),
        not_after=None if not_after is None else _instant(not_after),
        is_tainted=bool(document.get("is_tainted", False)),
        is_silenced=bool(document.get("is_silenced", False)),
        attempt=int(document.get("attempt", 1)),
        root=str(document.get("root", FIRST_ROOT)),
    )


def _setback(document: Mapping[str, Any] | None) -> Setback:
    if document is None:
        return Setback()
    return Setback(
        int(document["count"]),
        int(document["epoch"]),
        int(document["resume"]),
        int(document.get("attempt", 0)),
    )


def _cut_leaf(document: Mapping[str, Any]) -> CutLeaf:
    digest = bytes.fromhex(document["fingerprint"])
    if len(digest) != DIGEST_SIZE:
        raise ValueError("a fingerprint of another size")
    return CutLeaf(service_name(document["service"]), digest.hex())


def _written_head(head: AuditHead) -> dict[str, object]:
    return {"number": head.number, "digest": head.digest.hex()}


def _head(document: Mapping[str, Any] | None) -> AuditHead:
    if document is None:
        return AuditHead()
    digest = bytes.fromhex(document["digest"])
    if len(digest) != DIGEST_SIZE:
        raise ValueError("a digest of another size")
    return AuditHead(int(document["number"]), digest)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without a time zone")
    return instant.astimezone(UTC)
