"""Metadata dies at labelled points of a change of the root: it ends by itself, and nobody notices.

Each wave orders another root and strikes within the change that follows, which takes about three
periods; so all of it runs with ``CHAOS_ALL=1`` only. What passes in every run of the suite is the
same in memory, at every effect: `tests.unit.metadata.flows.test_root_keeping`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from devstack.layout import SERVICES
from svc_core.domain.desired import TrustMode
from svc_core.domain.identity import METADATA
from tests.chaos.killed_service import run_service
from tests.chaos.root_verdicts import (
    known_roots,
    left_keys,
    made_roots,
    root_history_of,
    root_keys,
)
from tests.chaos.selection import ALL, NOT_DRAWN
from tests.chaos.test_crash_points import (
    LONGEST_PAUSE_S,
    RATE,
    Crashes,
    check_what_is_stored,
    recover,
    refusals,
)
from tests.chaos.verdicts import as_metadata, read_log
from tests.chaos.waves import Wave, root_waves
from tests.e2e.commands import command
from tests.e2e.loaded_stack import LoadedStack, open_loaded_stack
from tests.e2e.waiting import until

ENDS_WITHIN_S: Final = 150.0
"""Three CA periods at most until the last issuer of the former root is retired, and a margin."""

# In mode chain a root waits for everybody, one thing more to die in: it takes every wave.
_ALL: Final = [
    *((TrustMode.CHAIN, wave) for wave in root_waves()),
    *((TrustMode.INTERMEDIATES, wave) for wave in root_waves(again=False)),
]
# A wave takes two to three minutes.
CASES: Final = (
    [pytest.param(mode, wave, id=f"{mode}-{wave.name}") for mode, wave in _ALL]
    if ALL
    else [pytest.param(*_ALL[0], id="not drawn", marks=NOT_DRAWN)]
)


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[LoadedStack]:
    with open_loaded_stack(
        run=run_service, longest_pause_s=LONGEST_PAUSE_S, trust_mode=request.param
    ) as loaded:
        yield loaded


@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("stack", "wave"), CASES, indirect=["stack"])
async def test_killed_while_the_root_changes_it_changes_once(
    stack: LoadedStack, wave: Wave, tmp_path: Path
) -> None:
    order = stack.order_load("roots", rate=RATE)
    await stack.answers_again(order, after=order.starts_at)
    restarts = {child.name: child.restarts for child in stack.stack.children}
    activated = len(root_history_of(await read_log(stack.layout)).activated)
    async with as_metadata(stack.layout) as api:
        former_keys = await root_keys(api)
    crashes = Crashes(stack, wave, tmp_path)
    await crashes.compare_keys()

    # The order outlives its command, which may give up while nobody lives long enough to take it.
    words = ("rotate", "root", "--var", str(stack.layout.root))
    async with command("securetransport", *words, notes=tmp_path / "order"):
        struck = await crashes.strike()
    await recover(stack, order, since=max(strike.at for strike in struck))
    await until(lambda: has_ended(stack), within_s=ENDS_WITHIN_S, what="one root that signs")
    await crashes.compare_keys()
    assert refusals(stack, order) == []
    await stack.conclude(order, rate=RATE)

    assert crashes.changed_keys == []
    assert sorted(strike.label for strike in struck) == sorted(wave.labels)
    died = {name: stack.child(name).restarts - restarts[name] for name in SERVICES}
    assert died == {name: len(wave.labels) if name == METADATA else 0 for name in SERVICES}
    await check_what_is_stored(stack)
    await check_the_roots(stack, activated, former_keys)


async def has_ended(stack: LoadedStack) -> bool:
    """Say whether there is one root, which signs."""
    async with as_metadata(stack.layout) as api:
        return list((await known_roots(api)).values()) == ["signing"]


async def check_the_roots(stack: LoadedStack, activated: int, former_keys: set[str]) -> None:
    """Check the states that the roots went through, and that nothing of former ones is left.

    Args:
        stack: at rest, with one root.
        activated: how many roots had begun to sign before.
        former_keys: of the roots that there were before.
    """
    history = root_history_of(await read_log(stack.layout))
    assert history.illegal == []
    fresh = history.activated[activated:]
    assert fresh
    assert len(set(history.activated)) == len(history.activated)
    async with as_metadata(stack.layout) as api:
        assert await made_roots(api) == list(await known_roots(api)) == fresh[-1:]
        assert former_keys
        assert await left_keys(api, former_keys | set(history.removed)) == []
        assert await left_keys(api, await root_keys(api)) != []
