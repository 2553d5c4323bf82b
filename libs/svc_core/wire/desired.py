"""`DesiredState` as canonical JSON: readable where it is stored, the same bytes everywhere."""

from typing import Final

import msgspec

from svc_core.domain.audit import NO_ENTRY, AuditHead
from svc_core.domain.desired import (
    CutLeaf,
    DesiredState,
    TopicGrant,
    TrustedIssuer,
    TrustMode,
)
from svc_core.wire.audit import read_digest
from svc_core.wire.documents import Int64, decode_json, encode_json
from svc_core.wire.fields import (
    read_instant,
    read_service,
    read_subject,
    read_token,
    require,
    write_instant,
)

FORMAT: Final = "desired-state/1"
_TRUST_MODES: Final = frozenset(mode.value for mode in TrustMode)


class _Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    epoch: Int64
    pem: str
    route_pem: str
    not_after: str


class _Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    publish: list[str]
    subscribe: list[str]


class _CutLeaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    service: str
    fingerprint: str


class _Desired(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    version: Int64
    profile: str
    active: str
    issuers: list[_Issuer]
    root_pem: str
    grants: dict[str, _Grant]
    kicked_issuers: list[str]
    made_at: str
    revoked: list[str] = msgspec.field(default_factory=list)
    """Left out when empty, as by writers that know of no revocations."""
    audit_number: Int64 = 0
    """Left out when 0, as by writers that keep no audit log; so is the digest."""
    audit_digest: str = ""
    cut_leaves: list[_CutLeaf] = msgspec.field(default_factory=list)
    """Left out when empty; so are the fenced servers."""
    fenced: list[str] = msgspec.field(default_factory=list)
    trust_mode: str = TrustMode.INTERMEDIATES.value
    """Left out when ``intermediates``, as by writers that know no other."""


def encode(desired: DesiredState) -> bytes:
    """Return ``desired`` as canonical JSON, the body of a signed document."""
    return encode_json(
        _Desired(
            format=FORMAT,
            version=desired.version,
            profile=desired.profile,
            active=desired.active,
            issuers=[
                _Issuer(i.name, i.epoch, i.pem, i.route_pem, write_instant(i.not_after))
                for i in desired.issuers
            ],
            root_pem=desired.root_pem,
            grants={
                service: _Grant(list(grant.publish), list(grant.subscribe))
                for service, grant in desired.grants.items()
            },
            kicked_issuers=list(desired.kicked_issuers),
            made_at=write_instant(desired.made_at),
            revoked=list(desired.revoked),
            audit_number=desired.audit.number,
            audit_digest=desired.audit.digest.hex() if desired.audit.number else "",
            cut_leaves=[_CutLeaf(c.service, c.fingerprint) for c in desired.cut_leaves],
            fenced=list(desired.fenced),
            trust_mode=desired.trust_mode.value,
        )
    )


def decode(body: bytes) -> DesiredState:
    """Return the desired state in ``body``, whose signature has been checked before.

    Raises:
        MalformedMessageError: no desired state, or one whose active issuer is not trusted.
    """
    document = decode_json(body, _Desired)
    require(document.format == FORMAT, "unknown format of a desired state")
    require(document.version >= 1, "versions count from 1")
    issuers = tuple(_issuer(i) for i in document.issuers)
    names = {i.name for i in issuers}
    require(len(names) == len(issuers), "an issuer is named twice")
    require(document.active in names, "the active issuer is not in the trusted set")
    return DesiredState(
        version=document.version,
        profile=read_token(document.profile, "profile"),
        active=document.active,
        issuers=issuers,
        root_pem=document.root_pem,
        grants={read_service(name): _grant(grant) for name, grant in document.grants.items()},
        kicked_issuers=tuple(read_token(n, "issuer name") for n in document.kicked_issuers),
        made_at=read_instant(document.made_at),
        revoked=tuple(read_service(name) for name in document.revoked),
        audit=_audit_head(document),
        cut_leaves=tuple(
            CutLeaf(read_service(c.service), read_digest(c.fingerprint).hex())
            for c in document.cut_leaves
        ),
        fenced=tuple(read_token(name, "server name") for name in document.fenced),
        trust_mode=_trust_mode(document),
    )


def _trust_mode(document: _Desired) -> TrustMode:
    require(document.trust_mode in _TRUST_MODES, "unknown trust mode")
    mode = TrustMode(document.trust_mode)
    require(mode is TrustMode.INTERMEDIATES or bool(document.root_pem), "a chain without a root")
    return mode


def _audit_head(document: _Desired) -> AuditHead:
    if not document.audit_number and not document.audit_digest:
        return NO_ENTRY
    require(document.audit_number >= 1, "audit entries count from 1")
    return AuditHead(document.audit_number, read_digest(document.audit_digest))


def _issuer(issuer: _Issuer) -> TrustedIssuer:
    require(issuer.epoch >= 0, "an epoch is negative")
    return TrustedIssuer(
        name=read_token(issuer.name, "issuer name"),
        epoch=issuer.epoch,
        pem=issuer.pem,
        route_pem=issuer.route_pem,
        not_after=read_instant(issuer.not_after),
    )


def _grant(grant: _Grant) -> TopicGrant:
    return TopicGrant(
        publish=tuple(read_subject(text) for text in grant.publish),
        subscribe=tuple(read_subject(text) for text in grant.subscribe),
    )
