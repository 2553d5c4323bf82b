"""`DesiredState`: the one signed, versioned object that says what everybody should trust and do.

Everything else that is said about rotation is a hint that this object moved. Consumers order by
``version``, never by epoch, so going back is a new version with the content wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from svc_core.domain.audit import NO_ENTRY, AuditHead
from svc_core.domain.identity import ServiceName, Subject


class TrustMode(StrEnum):
    """What an issuer has to show besides being in the trusted set (ADR-0021)."""

    INTERMEDIATES = "intermediates"
    """Nothing: the trusted intermediates are all that anybody trusts."""
    CHAIN = "chain"
    """That a trusted root signed it; NATS servers also trust whatever such a root signed."""


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One intermediate that leaves may chain to, with the route issuer made beside it."""

    name: str
    """``ca-<epoch>-<attempt>``, also the issuer's name in both OpenBao mounts."""
    epoch: int
    pem: str
    route_pem: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class TopicGrant:
    """The subjects of one service, from which its NATS permissions are generated."""

    publish: tuple[Subject, ...]
    subscribe: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class CutLeaf:
    """A leaf whose connections are to be cut, of the service that says it uses it."""

    service: ServiceName
    fingerprint: str
    """SHA-256 of its DER, lower-case hex."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What every party should trust, use and allow, as of ``version``."""

    version: int
    profile: str
    active: str
    """Name of the issuer that signs leaves now; the only switch."""
    issuers: tuple[TrustedIssuer, ...]
    """The trusted set: successor, active and draining issuers, newest first."""
    root_pem: str
    """The trusted roots, newest first; published in both trust modes."""
    grants: Mapping[ServiceName, TopicGrant]
    kicked_issuers: tuple[str, ...]
    """Issuers whose remaining connections Watcher must cut."""
    made_at: datetime
    revoked: tuple[ServiceName, ...] = ()
    """Services without a user whatever else is said; Watcher cuts what is left of them."""
    audit: AuditHead = NO_ENTRY
    """The audit entry of the step that made this version."""
    cut_leaves: tuple[CutLeaf, ...] = ()
    """Leaves of who was silent when the active issuer began to sign; Watcher cuts who uses one."""
    fenced: tuple[str, ...] = ()
    """Servers that failed to follow; nobody is to be connected to them until they are verified."""

    trust_mode: TrustMode = TrustMode.INTERMEDIATES

    def issuer(self, name: str) -> TrustedIssuer | None:
        """Return the trusted issuer called ``name``, if it is in the set."""
        return next((i for i in self.issuers if i.name == name), None)

    @property
    def active_issuer(self) -> TrustedIssuer:
        """Return the issuer that signs leaves now."""
        found = self.issuer(self.active)
        if found is None:
            raise ValueError(f"active issuer {self.active!r} is not in the trusted set")
        return found

    @property
    def trust_pem(self) -> str:
        """The trust file: the trusted intermediates only, newest first."""
        return "".join(i.pem.strip() + "\n" for i in self.issuers)

    @property
    def route_trust_pem(self) -> str:
        """The same for the cluster's routes, whose issuers are their own.

        Never with a root, which signs the issuers of services too: any service's leaf would be a
        node's.
        """
        return "".join(i.route_pem.strip() + "\n" for i in self.issuers)

    @property
    def anchor_pem(self) -> str:
        """The roots every issuer must be signed by; empty in mode ``intermediates``."""
        return self.root_pem if self.trust_mode is TrustMode.CHAIN else ""

    @property
    def server_trust_pem(self) -> str:
        """What NATS servers trust in clients: the trust file, and the roots in mode ``chain``."""
        return self.trust_pem + self.anchor_pem
