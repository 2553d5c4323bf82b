"""What nobody claims is destroyed and said; what an instance needs to start again never is."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.metadata.domain.accessors import SecretIdFacts, abandoned, grace
from services.metadata.flows.accessor_janitor import UNCLAIMED, AccessorJanitor
from svc_core.domain import claims
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName, instance_name
from svc_core.errors import SecretStoreError
from svc_core.flows.approle_renewal import AccessorClaims, AppRoleRenewal
from svc_core.runtime.health import Health
from svc_core.runtime.supervision import run_until
from tests.builders import DEMO, make_surroundings, seeded_entropy
from tests.fakes.clock import START, LoopClock
from tests.fakes.memory_approle import MemoryAppRole
from tests.fakes.memory_secret_store import MemorySecretStore
from tests.fakes.mishaps import Mishaps

PERIOD = timedelta(minutes=5)
GRACE = grace(PERIOD, DEMO.skew)
OLD = GRACE + timedelta(seconds=1)


@dataclass
class MemoryRegistry:
    """OpenBao's list of the secret-ids of one service, of which several instances have some."""

    roles: list[MemoryAppRole]
    strays: dict[str, SecretIdFacts] = field(default_factory=dict)
    """Secret-ids of no instance."""
    owner: ServiceName = GATEKEEPER

    async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
        if service != self.owner:
            return frozenset()
        return frozenset(self.strays).union(*(role.alive for role in self.roles))

    async def describe(self, service: ServiceName, accessor: str) -> SecretIdFacts | None:
        if accessor in self.strays:
            return self.strays[accessor]
        for role in self.roles:
            if accessor in role.alive:
                made_at = START + timedelta(seconds=role.made_at.get(accessor, 0.0))
                return SecretIdFacts(accessor, made_at, is_rotated=accessor in role.made_at)
        return None

    async def destroy(self, service: ServiceName, accessor: str) -> None:
        self.strays.pop(accessor, None)
        for role in self.roles:
            role.alive.discard(accessor)

    def add(self, accessor: str, *, age: timedelta, is_rotated: bool = True) -> None:
        made_at = START + timedelta(seconds=asyncio.get_running_loop().time()) - age
        self.strays[accessor] = SecretIdFacts(accessor, made_at, is_rotated)


class Neighbourhood:
    """Two instances of one service, and the janitor who looks after their secret-ids."""

    def __init__(self) -> None:
        self.mishaps = Mishaps()
        self.store = MemorySecretStore(mishaps=self.mishaps)
        self.roles = [self._role(number) for number in (1, 2)]
        self.registry = MemoryRegistry(self.roles)
        self.metrics = CollectorRegistry()
        self.janitor = AccessorJanitor(
            self.registry,
            self.store,
            [GATEKEEPER, AUTHCONTROLLER],
            PERIOD,
            make_surroundings(LoopClock()),
            self.metrics,
        )

    def alarms(self, owner: ServiceName = GATEKEEPER) -> float:
        return self.metrics.get_sample_value(UNCLAIMED, {"role": owner}) or 0.0

    def _role(self, number: int) -> MemoryAppRole:
        provisioned = f"provisioned-{number}"
        return MemoryAppRole(
            self.mishaps, prefix=f"{number}-", alive={provisioned}, on_disk=provisioned
        )

    def renewal(self, number: int) -> AppRoleRenewal:
        """One life of one instance."""
        own = AccessorClaims(self.store, GATEKEEPER, instance_name(f"g{number}"))
        return AppRoleRenewal(self.roles[number - 1], PERIOD, Health(LoopClock()), own)


@pytest.fixture
async def hood() -> Neighbourhood:
    return Neighbourhood()


async def test_an_unclaimed_one_is_destroyed_with_an_alarm(hood: Neighbourhood) -> None:
    await hood.renewal(1).replace_secret_id()
    hood.registry.add("stolen", age=OLD)

    with capture_logs() as logs:
        destroyed = await hood.janitor.sweep(GATEKEEPER)

    assert [facts.accessor for facts in destroyed] == ["stolen"]
    assert hood.registry.strays == {}
    assert hood.alarms() == 1
    (alarm,) = (entry for entry in logs if entry["event"] == "secret_id.unclaimed")
    assert (alarm["log_level"], alarm["owner"], alarm["accessor"]) == (
        "error",
        GATEKEEPER,
        "stolen",
    )


@pytest.mark.parametrize(
    ("age", "is_rotated"),
    [
        pytest.param(GRACE, True, id="still in its grace"),
        pytest.param(timedelta(days=13), False, id="provisioned, and its service never started"),
    ],
)
async def test_what_may_still_be_needed_stays(
    hood: Neighbourhood, age: timedelta, is_rotated: bool
) -> None:
    await hood.renewal(1).replace_secret_id()
    hood.registry.add("waiting", age=age, is_rotated=is_rotated)

    assert await hood.janitor.sweep(GATEKEEPER) == []
    assert set(hood.registry.strays) == {"waiting"}
    assert hood.alarms() == 0


async def test_where_nobody_claims_nothing_is_destroyed(hood: Neighbourhood) -> None:
    hood.registry.add("unclaimed", age=OLD)

    assert await hood.janitor.sweep(GATEKEEPER) == ()
    assert set(hood.registry.strays) == {"unclaimed"}


async def test_a_claim_that_cannot_be_read_protects_all_of_its_service(
    hood: Neighbourhood,
) -> None:
    await hood.renewal(1).replace_secret_id()
    hood.store.put(f"{claims.claims_folder(GATEKEEPER)}/g9", {"accessors": 9})
    hood.registry.add("unclaimed", age=OLD)

    with pytest.raises(SecretStoreError, match="g9: not a claim"):
        await hood.janitor.sweep(GATEKEEPER)

    assert set(hood.registry.strays) == {"unclaimed"}


async def test_a_broken_claim_of_one_service_leaves_the_others_watched(
    hood: Neighbourhood,
) -> None:
    hood.store.put(f"{claims.claims_folder(AUTHCONTROLLER)}/a1", {})
    await hood.renewal(1).replace_secret_id()
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(PERIOD.total_seconds() + 1, stop.set)
    hood.registry.add("stolen", age=OLD)

    await run_until(stop, [hood.janitor])

    assert hood.registry.strays == {}


async def test_a_claim_to_nothing_is_forgotten_at_the_second_look(hood: Neighbourhood) -> None:
    gone = f"{claims.claims_folder(GATEKEEPER)}/g0"
    hood.store.put(gone, claims.encode(frozenset({"ended"})))
    await hood.renewal(1).replace_secret_id()

    await hood.janitor.sweep(GATEKEEPER)
    assert await hood.store.fetch(gone) is not None
    await hood.janitor.sweep(GATEKEEPER)

    assert await hood.store.fetch(gone) is None


async def test_a_claim_that_was_renewed_between_two_looks_stays(hood: Neighbourhood) -> None:
    renewed = f"{claims.claims_folder(GATEKEEPER)}/g0"
    for accessor in ("ended", "made after the list was taken"):
        hood.store.put(renewed, claims.encode(frozenset({accessor})))
        await hood.janitor.sweep(GATEKEEPER)

    assert await hood.store.fetch(renewed) is not None


@pytest.mark.parametrize("seed", range(8))
async def test_through_crashes_and_long_sleeps_every_disk_has_one_that_works(
    hood: Neighbourhood, seed: int
) -> None:
    chance = seeded_entropy(bytes([seed]))
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(timedelta(days=2).total_seconds(), stop.set)

    async def live(number: int) -> None:
        while not stop.is_set():
            effects, is_after, sleep_min = chance(3)
            hood.mishaps.at = hood.mishaps.count + effects % 40 + 1
            hood.mishaps.is_after = bool(is_after % 2)
            with suppress(SecretStoreError):
                await hood.renewal(number).run()
            await asyncio.sleep(60 * sleep_min)
            role = hood.roles[number - 1]
            assert role.on_disk in role.alive

    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(live(number)) for number in (1, 2)]
        await run_until(stop, [hood.janitor])
        for task in lives:
            task.cancel()

    assert hood.mishaps.count > 100
    assert all(len(role.alive) <= 3 for role in hood.roles)


def test_the_oldest_goes_first() -> None:
    young, old = (
        SecretIdFacts(name, START - age, is_rotated=True)
        for name, age in (("young", OLD), ("old", 2 * OLD))
    )

    assert abandoned([young, old], now=START, grace=GRACE) == [old, young]
