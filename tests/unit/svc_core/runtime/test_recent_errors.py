import asyncio

from svc_core.errors import BusError, SecretStoreError
from svc_core.runtime.recent_errors import RecentErrors
from tests.fakes.clock import LoopClock


async def test_the_same_trouble_is_counted_and_the_newest_comes_last() -> None:
    errors = RecentErrors(LoopClock())
    errors.note("a", BusError("gone"))
    errors.note("b", SecretStoreError("sealed"))
    await asyncio.sleep(60)
    errors.note("a", BusError("gone"))

    assert errors.as_document() == [
        {
            "loop": "b",
            "code": "dependency.openbao",
            "reason": "sealed",
            "times": 1,
            "at": "2026-01-01T00:00:00+00:00",
        },
        {
            "loop": "a",
            "code": "dependency.nats",
            "reason": "gone",
            "times": 2,
            "at": "2026-01-01T00:01:00+00:00",
        },
    ]


async def test_only_the_last_twenty_are_kept() -> None:
    errors = RecentErrors(LoopClock())

    for number in range(25):
        errors.note("a", BusError(f"reason {number}"))

    reasons = [entry["reason"] for entry in errors.as_document()]
    assert reasons == [f"reason {number}" for number in range(5, 25)]
