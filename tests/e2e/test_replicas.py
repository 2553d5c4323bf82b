"""Two replicas of Metadata: one decides, both answer, and the end of one loses and doubles nothing.

What a frozen replica does when it wakes up, call by call, is tried in virtual time
(`tests/unit/metadata/flows/test_lease.py`); here real processes are stopped where it hurts.
"""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from devstack.identities import instance_of
from devstack.layout import metadata_replicas
from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.domain.lease import LeaseTimes
from svc_core.domain.load_order import LoadOrder
from tests.chaos.killed_service import run_service
from tests.chaos.selection import selected
from tests.chaos.stored_keys import changes, fetch_generations, fetch_served, strangers
from tests.chaos.trap import arm, disarm, strikes
from tests.chaos.verdicts import (
    History,
    as_metadata,
    history_of,
    journal,
    log_fault,
    read_log,
    surplus_issuers,
)
from tests.e2e.loaded_stack import BRISK, LoadedStack, SharedStack, open_loaded_stack
from tests.e2e.waiting import until

REPLICAS: Final = metadata_replicas(2)
BY_INSTANCE: Final = {instance_of(name): name for name in REPLICAS}
PATIENCE_S: Final = LeaseTimes.of(BRISK).patience.total_seconds()
TAKES_OVER_WITHIN_S: Final = PATIENCE_S + 25
"""The patience, a look, and a busy machine."""
FREEZES_WITHIN_S: Final = 90.0
READY_WITHIN_S: Final = 40.0
BOTH_ANSWER_WITHIN_S: Final = 90.0
FOREVER: Final = 1000
FREEZES: Final = selected(
    (
        "metadata journal.write issuer.staged before",
        "metadata mint.import before",
        "metadata journal.write issuer.activated before",
        "metadata desired.store before",
        "metadata keys.store before",
        "metadata ledger.store before",
    ),
    1,
)


@pytest.fixture(scope="module")
def stack(shared_stack: SharedStack) -> Iterator[LoadedStack]:
    """A stack with two replicas, which has the machine for itself."""
    shared_stack.end()
    with open_loaded_stack(
        profile=BRISK, run=run_service, metadata_replicas=len(REPLICAS)
    ) as loaded:
        yield loaded


@pytest.mark.timeout(180)
async def test_pulls_are_answered_by_both_with_what_is_stored(
    stack: LoadedStack, tmp_path: Path
) -> None:
    before = {name: answers_of(stack, name) for name in REPLICAS}
    stored = await fetch_generations(stack.layout)

    async def both_have() -> bool:
        # Nobody chooses who of the two is asked.
        served = await fetch_served(stack, tmp_path)
        stored.update(await fetch_generations(stack.layout))
        assert strangers(served, stored) == []
        return all(answers_of(stack, name) > before[name] for name in REPLICAS)

    await until(both_have, within_s=BOTH_ANSWER_WITHIN_S, what="an answer from each replica")


@pytest.mark.timeout(240)
async def test_a_killed_holder_is_followed_and_nobody_notices(stack: LoadedStack) -> None:
    watched = await Watched.begin(stack, "killed")
    former = await holder(stack)
    directory = stack.layout.service(former)
    # Whoever starts again under its own name takes its lease at once: so it does not get that far.
    arm(directory, [["metadata start before"] * FOREVER])
    try:
        stack.stack.kill(former, signal.SIGKILL)
        await followed(stack, former)
    finally:
        disarm(directory)
    taken_at = datetime.now(UTC)
    await stands_by(stack, former)
    await stack.next_rotation(since=taken_at)

    assert await holder(stack) == other(former)
    await watched.nothing_was_noticed()


@pytest.mark.timeout(360)
@pytest.mark.parametrize("point", FREEZES)
async def test_a_holder_that_was_frozen_wakes_up_and_writes_nothing(
    stack: LoadedStack, point: str
) -> None:
    watched = await Watched.begin(stack, "frozen")
    former = await holder(stack)
    directory = stack.layout.service(former)
    former_strikes = len(strikes(directory))
    arm(directory, [[point]], signal.SIGSTOP)
    try:
        await until(
            lambda: len(strikes(directory)) > former_strikes,
            within_s=FREEZES_WITHIN_S,
            what=f"{former} frozen: {point}",
        )
        await followed(stack, former)
        await stack.next_rotation(since=datetime.now(UTC))
        lease = (await stored_journal(stack))["lease"]
    finally:
        disarm(directory)
        stack.stack.kill(former, signal.SIGCONT)
    thawed_at = datetime.now(UTC)
    await stands_by(stack, former)
    await stack.next_rotation(since=thawed_at)

    now = (await stored_journal(stack))["lease"]
    assert (now["holder"], now["term"]) == (lease["holder"], lease["term"])
    assert steps_by(await read_log(stack.layout), former, since=thawed_at) == []
    await watched.nothing_was_noticed()


@dataclass(slots=True)
class Watched:
    """Load and keys from before something happens, to be compared with those after it."""

    stack: LoadedStack
    order: LoadOrder
    keys: dict[int, KeyGeneration]
    restarts: dict[str, int]

    @classmethod
    async def begin(cls, stack: LoadedStack, name: str) -> "Watched":
        """Put the stack under a new load and note how it is."""
        order = stack.order_load(name)
        await stack.answers_again(order, after=order.starts_at)
        restarts = {child.name: child.restarts for child in stack.stack.children}
        return cls(stack, order, await fetch_generations(stack.layout), restarts)

    async def nothing_was_noticed(self) -> None:
        """Check that no message, no issuer and no key was lost or doubled, and nobody else died."""
        await self.stack.answers_again(self.order, after=datetime.now(UTC))
        self.stack.order_load("standing")
        traffic = await self.stack.account(self.order)
        assert not traffic.lost
        assert not traffic.duplicated
        assert not traffic.unasked
        assert traffic.acked
        keys = await fetch_generations(self.stack.layout)
        assert changes(self.keys, keys) == []
        assert [after - before for before, after in pairwise(sorted(keys))] == [1] * (len(keys) - 1)
        assert await log_fault(self.stack.layout) is None
        assert_no_epoch_was_lost_or_doubled(history_of(await read_log(self.stack.layout)))
        async with as_metadata(self.stack.layout) as api:
            surplus = await surplus_issuers(api)
        assert max(surplus.values(), default=0) <= 1, surplus
        for child in self.stack.stack.children:
            assert child.name in REPLICAS or child.restarts == self.restarts[child.name], child


def assert_no_epoch_was_lost_or_doubled(history: History) -> None:
    """Check that issuers became active one after the other, each epoch's once."""
    assert history.illegal == []
    assert history.returned == []
    epochs = [int(name.split("-")[1]) for name in history.activated]
    assert epochs == list(range(epochs[0], epochs[0] + len(epochs)))


async def stored_journal(stack: LoadedStack) -> dict[str, Any]:
    async with as_metadata(stack.layout) as api:
        return await journal(api)


async def holder(stack: LoadedStack) -> str:
    """Return which replica the journal names."""
    return BY_INSTANCE[(await stored_journal(stack))["lease"]["holder"]]


def other(replica: str) -> str:
    return next(name for name in REPLICAS if name != replica)


async def followed(stack: LoadedStack, former: str) -> None:
    """Wait until the other replica holds the lease."""

    async def is_followed() -> bool:
        return await holder(stack) != former

    await until(is_followed, within_s=TAKES_OVER_WITHIN_S, what=f"a successor of {former}")


async def ready(stack: LoadedStack, name: str) -> None:
    await until(
        lambda: stack.stack.is_ready(name), within_s=READY_WITHIN_S, what=f"{name} ready again"
    )


async def stands_by(stack: LoadedStack, replica: str) -> None:
    """Wait until a replica is ready, and says of itself that it only watches."""
    await ready(stack, replica)

    async def says_so() -> bool:
        answer = await stack.stack.admin_get(replica, "/readyz")
        detail: str = json.loads(answer.text)["loops"]["ca_rotation"]["detail"]
        return answer.is_ok and detail.startswith("standing by")

    await until(says_so, within_s=READY_WITHIN_S, what=f"{replica} standing by")


def answers_of(stack: LoadedStack, replica: str) -> int:
    """Return how many bundles a replica has served."""
    return stack.layout.log_of(replica).read_text().count('"bundle.served"')


def steps_by(
    entries: list[dict[str, Any]], replica: str, *, since: datetime
) -> list[dict[str, Any]]:
    """Return the steps of one replica that took effect after an instant."""
    return [
        entry
        for entry in entries
        if entry["took_effect"]
        and entry["by"] == instance_of(replica)
        and datetime.fromisoformat(entry["at"]) > since
    ]
