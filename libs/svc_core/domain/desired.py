"""`DesiredState`: the one signed, versioned object that says what everybody should trust and do.

Everything else that is said about rotation is a hint that this object moved. Consumers order by
``version``, never by epoch, so going back is a new version with the content wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from svc_core.domain.audit import NO_ENTRY, AuditHead
from svc_core.domain.identity import ServiceName, Subject


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
class DesiredState:
    """What every party should trust, use and allow, as of ``version``."""

    version: int
    profile: str
    active: str
    """Name of the issuer that signs leaves now; the only switch."""
    issuers: tuple[TrustedIssuer, ...]
    """The trusted set: successor, active and draining issuers, newest first."""
    root_pem: str
    grants: Mapping[ServiceName, TopicGrant]
    kicked_issuers: tuple[str, ...]
    """Issuers whose remaining connections Watcher must cut."""
    made_at: datetime
    revoked: tuple[ServiceName, ...] = ()
    """Services without a user whatever else is said; Watcher cuts what is left of them."""
    audit: AuditHead = NO_ENTRY
    """The audit entry of the step that made this version."""

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
        """The same for the cluster's routes, whose issuers are their own."""
        return "".join(i.route_pem.strip() + "\n" for i in self.issuers)
