"""Journals and fleets for tests: valid by default, so that a test says only what it is about."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.metadata.domain.fleet import Fleet
from services.metadata.domain.issuers import Issuer, IssuerState, issuer_name
from services.metadata.domain.journal import Journal
from svc_core.domain.identity import GATEKEEPER, WATCHER, InstanceName
from svc_core.domain.status import InstanceStatus, ServerStatus
from tests.builders import DEMO, NOW, make_status

EPOCH = DEMO.ca.current(NOW).number
"""The CA epoch that begins at `NOW`."""
LIFE_S = DEMO.ca.validity.total_seconds()
NODES = ("n1", "n2", "n3")


def at(seconds: float) -> datetime:
    """Return the instant ``seconds`` after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def ca(ahead: int = 0) -> str:
    """Return the name of the issuer made for the epoch ``ahead`` of the one at `NOW`."""
    return issuer_name(EPOCH + ahead, 1)


def make_issuer(
    state: IssuerState,
    ahead: int = 0,
    *,
    since: float = 0,
    version: int = 1,
    ends: float | None = None,
) -> Issuer:
    """Return an issuer for the epoch ``ahead`` of the one at `NOW`; times in seconds after it."""
    if state is IssuerState.PLANNED:
        return Issuer(ca(ahead), EPOCH + ahead, state, at(since))
    made = ahead * DEMO.ca.period - DEMO.ca.lead
    end = NOW + made + DEMO.ca.validity if ends is None else at(ends)
    name = ca(ahead)
    return Issuer(
        name, EPOCH + ahead, state, at(since), version, f"pem {name}\n", f"route {name}\n", end
    )


def make_journal(*issuers: Issuer, kicked: tuple[str, ...] = ()) -> Journal:
    """Return a journal that holds ``issuers``."""
    return Journal(
        version=max((i.version for i in issuers), default=0),
        highest_epoch=max((i.epoch for i in issuers), default=-1),
        issuers=issuers,
        kicked=kicked,
    )


def make_instance(version: int, issuer: str = "", *, name: str = "g1") -> InstanceStatus:
    """Return the status of a gatekeeper."""
    return make_status(
        service=GATEKEEPER,
        instance=InstanceName(name),
        version=version,
        issuer=issuer or ca(),
        servers=(),
        connections={},
    )


def make_watcher(
    version: int,
    issuer: str = "",
    *,
    servers: tuple[ServerStatus, ...] | None = None,
    connections: Mapping[str, int] | None = None,
) -> InstanceStatus:
    """Return the status of a Watcher whose servers all run with ``version``."""
    issuer = issuer or ca()
    every = tuple(ServerStatus(name, version, issuer) for name in NODES)
    return make_status(
        service=WATCHER,
        instance=InstanceName("w1"),
        version=version,
        issuer=issuer,
        servers=every if servers is None else servers,
        connections={issuer: 4} if connections is None else connections,
    )


def make_fleet(version: int, issuer: str = "") -> Fleet:
    """Return a fleet that has acknowledged ``version`` and uses leaves of ``issuer``."""
    return Fleet([make_instance(version, issuer), make_watcher(version, issuer)])
