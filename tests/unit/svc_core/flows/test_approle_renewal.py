"""The credential is replaced once per period, and a failure ends nothing."""

import asyncio
from datetime import timedelta

from svc_core.errors import SecretStoreError
from svc_core.flows.approle_renewal import AppRoleRenewal
from svc_core.runtime.health import Health
from svc_core.runtime.supervision import run_until
from tests.fakes.clock import LoopClock

PERIOD = timedelta(minutes=5)


class ScriptedCredential:
    """Notes when it is replaced and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.rotated_at: list[float] = []
        self._failures = failures

    async def rotate_secret_id(self) -> None:
        self.rotated_at.append(asyncio.get_running_loop().time())
        if self._failures:
            self._failures -= 1
            raise SecretStoreError("OpenBao is out of reach")


async def renew_for(span: timedelta, credential: ScriptedCredential) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(span.total_seconds(), stop.set)
    await run_until(stop, [AppRoleRenewal(credential, PERIOD, Health(LoopClock()))])


async def test_it_is_replaced_once_per_period_and_not_at_the_start() -> None:
    credential = ScriptedCredential()

    await renew_for(timedelta(minutes=16), credential)

    assert credential.rotated_at == [300, 600, 900]


async def test_a_failure_costs_one_period() -> None:
    credential = ScriptedCredential(failures=1)

    await renew_for(timedelta(minutes=11), credential)

    first, second = credential.rotated_at
    assert first == 300
    assert 300 <= second - first < 302
