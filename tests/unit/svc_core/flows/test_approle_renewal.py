"""The credential is replaced once per period, and no end of a replacement costs the next start."""

import asyncio
from datetime import timedelta

import pytest

from svc_core.domain.claims import claim_path, decode
from svc_core.domain.identity import GATEKEEPER, instance_name
from svc_core.errors import AccessDeniedError, SecretStoreError, StaleWriteError
from svc_core.flows.approle_renewal import AccessorClaims, AppRoleRenewal
from svc_core.runtime.health import Health
from svc_core.runtime.supervision import run_until
from tests.fakes.clock import LoopClock
from tests.fakes.memory_approle import MemoryAppRole
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.fakes.mishaps import Mishaps

PERIOD = timedelta(minutes=5)
INSTANCE = instance_name("gatekeeper-1")
CLAIM = claim_path(GATEKEEPER, INSTANCE)
EFFECTS_OF_ONE = 6
"""Make, claim both, log in, keep, destroy, claim one."""


class OneInstance:
    """An instance that replaces its secret-id in memory."""

    def __init__(self) -> None:
        self.mishaps = Mishaps()
        self.role = MemoryAppRole(self.mishaps)
        self.store = MemorySecretStore(mishaps=self.mishaps)
        self.own = AccessorClaims(self.store, GATEKEEPER, INSTANCE)
        self.renewal = AppRoleRenewal(self.role, PERIOD, Health(LoopClock()), self.own)

    async def claimed(self) -> frozenset[str]:
        found = await self.store.fetch(CLAIM)
        return decode(found.data) if found else frozenset()

    async def run_for(self, span: timedelta) -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(span.total_seconds(), stop.set)
        await run_until(stop, [self.renewal])


@pytest.fixture
def instance() -> OneInstance:
    return OneInstance()


async def test_it_is_replaced_once_per_period_and_not_at_the_start(instance: OneInstance) -> None:
    await instance.run_for(timedelta(minutes=16))

    assert instance.role.adopted_at == [300, 600, 900]


async def test_a_failure_costs_one_period(instance: OneInstance) -> None:
    instance.mishaps.at = 1

    await instance.run_for(timedelta(minutes=11))

    assert instance.role.adopted_at == [600]


async def test_a_failing_token_does_not_put_the_replacement_off(instance: OneInstance) -> None:
    class Unrenewable(MemoryAppRole):
        async def renew_token(self) -> None:
            raise SecretStoreError("OpenBao is out of reach")

    role = Unrenewable(lease=timedelta(minutes=4))
    instance.renewal = AppRoleRenewal(role, PERIOD, Health(LoopClock()), instance.own)

    await instance.run_for(timedelta(minutes=5, seconds=10))

    (adopted_at,) = role.adopted_at
    assert 300 <= adopted_at <= 305


async def test_a_token_that_ends_before_the_replacement_is_renewed_at_half_life(
    instance: OneInstance,
) -> None:
    instance.role.lease = timedelta(minutes=4)

    await instance.run_for(timedelta(minutes=8))

    assert instance.role.renewed_at == [120, 240, 420]


async def test_only_the_newest_is_left_alive_and_claimed(instance: OneInstance) -> None:
    for _ in range(3):
        await instance.renewal.replace_secret_id()

    assert instance.role.alive == {"made-3"} == await instance.claimed()
    assert instance.mishaps.count == 3 * EFFECTS_OF_ONE


@pytest.mark.parametrize("is_after", [False, True], ids=["not done", "done, answer lost"])
@pytest.mark.parametrize("effect", range(1, EFFECTS_OF_ONE + 1))
async def test_wherever_it_ends_the_disk_has_one_that_works_and_the_rest_is_cleared_up(
    instance: OneInstance, effect: int, is_after: bool
) -> None:
    instance.mishaps.at, instance.mishaps.is_after = effect, is_after
    role = instance.role

    with pytest.raises(SecretStoreError):
        await instance.renewal.replace_secret_id()

    assert role.on_disk in role.alive
    lost = role.alive - await instance.claimed() - {"provisioned"}
    assert len(lost) <= 1

    await instance.renewal.replace_secret_id()

    assert role.alive - lost == {role.on_disk} == await instance.claimed()


@pytest.mark.parametrize("effect", range(1, 2 * EFFECTS_OF_ONE))
async def test_the_one_on_disk_is_claimed_whenever_a_rotation_made_it(
    instance: OneInstance, effect: int
) -> None:
    instance.mishaps.at = effect
    for _ in range(2):
        try:
            await instance.renewal.replace_secret_id()
        except SecretStoreError:
            break

    role = instance.role
    assert role.on_disk in await instance.claimed() | {"provisioned"}


async def test_a_disk_that_takes_nothing_does_not_pile_up_secret_ids(
    instance: OneInstance,
) -> None:
    instance.role.is_disk_full = True
    for _ in range(5):
        with pytest.raises(AccessDeniedError):
            await instance.renewal.replace_secret_id()

    assert instance.role.alive == {"provisioned", "made-1"} == await instance.claimed()


async def test_one_that_openbao_forgot_is_replaced_while_the_token_lives(
    instance: OneInstance,
) -> None:
    instance.role.alive.clear()

    await instance.renewal.replace_secret_id()

    assert instance.role.alive == {"made-1"} == await instance.claimed()


async def test_two_processes_of_one_name_find_each_other_out(instance: OneInstance) -> None:
    class Overtaken(MemorySecretStore):
        async def fetch(self, path: str) -> None:
            return None

    overtaken = Overtaken()
    overtaken.put(CLAIM, {"accessors": ["of-the-other"]})
    own = AccessorClaims(overtaken, GATEKEEPER, INSTANCE)
    renewal = AppRoleRenewal(instance.role, PERIOD, Health(LoopClock()), own)

    with pytest.raises(StaleWriteError):
        await renewal.replace_secret_id()

    assert instance.role.on_disk == "provisioned"
    assert "provisioned" in instance.role.alive


async def test_a_claim_that_is_none_stops_it_before_anything_is_made(
    instance: OneInstance,
) -> None:
    instance.store.put(CLAIM, {"accessors": "made-9"})

    with pytest.raises(SecretStoreError, match="not a claim"):
        await instance.renewal.replace_secret_id()

    assert instance.role.alive == {"provisioned"}
