import asyncio
import json
import os
from datetime import timedelta
from importlib.metadata import version

from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.status import InstanceStatus, ServerStatus
from svc_core.domain.tls import TlsHealth, TlsState
from svc_core.errors import BusError
from svc_core.runtime.recent_errors import RecentErrors
from svc_core.runtime.status_page import Status, StatusSources
from tests.authority import Authority
from tests.builders import make_surroundings
from tests.fakes.clock import LoopClock
from tests.unit.svc_core.runtime.test_tls_watching import Holder


async def test_the_page_says_who_what_and_how() -> None:
    clock = LoopClock()
    around = make_surroundings(clock)
    state = Authority(clock).state(7, 101, 100)
    errors = RecentErrors(clock)
    errors.note("bus", BusError("gone"))
    own = InstanceStatus(
        service=ServiceName("watcher"),
        instance=InstanceName("w1"),
        boot_id="b00t",
        sent_at=clock.now(),
        version=6,
        issuer="ca-100-1",
        key_epoch=5,
        profile="demo",
        servers=(ServerStatus("n1", 6, "ca-100-1"),),
        connections={"ca-100-1": 5},
    )
    leaf = TlsHealth(TlsState.DEGRADED, timedelta(seconds=9), "ca-100-1", 3, 1, "refused")
    status = Status(
        StatusSources(
            around=around,
            instance=lambda: own,
            desired=lambda: state,
            leaves={"watcher": Holder(leaf)},
            admin_connections=lambda: 2,
            errors=errors,
        )
    )
    around.health.expect("bus", timedelta(seconds=5))
    await asyncio.sleep(10)

    page = status.describe()

    assert json.loads(json.dumps(page)) == page
    assert page["at"] == "2026-01-01T00:00:10+00:00"
    assert page["instance"] == {
        "service": "watcher",
        "name": "w1",
        "boot_id": "b00t",
        "pid": os.getpid(),
        "profile": "demo",
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    assert page["ready"] is False
    assert page["loops"] == {"bus": {"ok": False, "detail": "has not succeeded yet"}}
    assert page["leaves"] == {
        "watcher": {
            "state": "degraded",
            "issuer": "ca-100-1",
            "remaining_s": 9.0,
            "generation": 3,
            "failures": 1,
            "last_error": "refused",
        }
    }
    assert page["connections"] == {
        "nats": {"connected": True, "issuer": "ca-100-1"},
        "admin": 2,
        "by_issuer": {"ca-100-1": 5},
    }
    assert page["key_epoch"] == 5
    server = {"name": "n1", "version": 6, "issuer": "ca-100-1", "error": "", "failed_at": 0}
    assert page["servers"] == [server]
    assert errors.as_document() == page["last_errors"]
    issuers = page["issuers"]
    assert isinstance(issuers, list)
    assert [(i["name"], i["active"]) for i in issuers] == [("ca-101-1", True), ("ca-100-1", False)]
    assert page["trust_mode"] == "intermediates"
    assert page["versions"] == {
        "software": version("securetransport"),
        "desired": 6,
        "announced": 7,
        "bundle": own.bundle_version,
    }


async def test_before_anything_is_known_there_are_no_issuers() -> None:
    clock = LoopClock()
    own = InstanceStatus(ServiceName("s"), InstanceName("i"), "b", clock.now(), 0, "", 0, "demo")
    sources = StatusSources(
        make_surroundings(clock), lambda: own, lambda: None, {}, lambda: 0, RecentErrors(clock)
    )

    page = Status(sources).describe()

    assert (page["issuers"], page["trust_mode"]) == ([], "")
    assert page["connections"] == {
        "nats": {"connected": False, "issuer": ""},
        "admin": 0,
        "by_issuer": {},
    }
