"""What one process says of itself on ``/status``: JSON for a person or a tool, nothing secret."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from svc_core.domain.desired import DesiredState
from svc_core.domain.status import InstanceStatus
from svc_core.domain.tls import TlsHealth
from svc_core.runtime.recent_errors import RecentErrors
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.tls_watching import TlsHolder

_DISTRIBUTION: Final = "securetransport"


@dataclass(frozen=True, slots=True)
class StatusSources:
    """Where the page is read from, each time it is asked for."""

    around: Surroundings
    instance: Callable[[], InstanceStatus]
    desired: Callable[[], DesiredState | None]
    leaves: Mapping[str, TlsHolder]
    """By the name of the identity."""
    admin_connections: Callable[[], int]
    errors: RecentErrors


class Status:
    """The page; its process started when it was made."""

    def __init__(self, sources: StatusSources) -> None:
        self._sources = sources
        self._started_at = sources.around.clock.now()

    def describe(self) -> dict[str, object]:
        """Return the page as of now."""
        sources = self._sources
        now, own = sources.around.clock.now(), sources.instance()
        desired = sources.desired()
        return {
            "at": now.isoformat(),
            "instance": {
                "service": own.service,
                "name": own.instance,
                "boot_id": own.boot_id,
                "pid": os.getpid(),
                "profile": own.profile,
                "started_at": self._started_at.isoformat(),
            },
            "versions": {
                "software": _software(),
                "desired": own.version,
                "announced": desired.version if desired is not None else 0,
                "bundle": own.bundle_version,
            },
            "trust_mode": desired.trust_mode.value if desired is not None else "",
            "issuers": _issuers(desired, now),
            "leaves": {name: _leaf(holder.health) for name, holder in sources.leaves.items()},
            "key_epoch": own.key_epoch,
            "connections": {
                "nats": {"connected": bool(own.issuer), "issuer": own.issuer},
                "admin": sources.admin_connections(),
                "by_issuer": dict(own.connections),
            },
            "servers": [asdict(server) for server in own.servers],
            **sources.around.health.report().as_document(),
            "last_errors": sources.errors.as_document(),
        }


def _issuers(desired: DesiredState | None, now: datetime) -> list[dict[str, object]]:
    if desired is None:
        return []
    return [
        {
            "name": issuer.name,
            "active": issuer.name == desired.active,
            "not_after": issuer.not_after.isoformat(),
            "remaining_s": round((issuer.not_after - now).total_seconds(), 1),
        }
        for issuer in desired.issuers
    ]


def _leaf(health: TlsHealth) -> dict[str, object]:
    return {
        "state": health.state.label,
        "issuer": health.issuer,
        "remaining_s": round(health.remaining.total_seconds(), 1),
        "generation": health.generation,
        "failures": health.failures,
        "last_error": health.last_error,
    }


def _software() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:
        return "not installed"
