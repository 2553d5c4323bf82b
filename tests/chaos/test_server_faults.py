"""A NATS server fails in the middle of a rotation: before it takes effect, and after.

Before, the rotation is held and goes on when the server is back. After, the former issuer is active
again on every server that answers within seconds of the failing check, and who failed is fenced
until it was verified. Requests are answered throughout and none is lost.

A run of the suite takes one of all rotation faults, drawn by ``CHAOS_SEED``; ``CHAOS_ALL=1``
takes every one.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from svc_core.adapters.system_entropy import system_entropy
from svc_core.crypto.certificates import new_leaf_key
from svc_core.domain.identity import METADATA, WATCHER
from tests.chaos.rotation_story import (
    GOES_ON_WITHIN,
    PERIOD_S,
    Story,
    after_a_boundary,
    at,
    before_the_boundary,
    chosen,
    next_boundary,
    ordered,
    ordering,
    other_nodes,
    pause_until,
    seconds,
    unharmed_load,
)
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.waiting import until

BACK_WITHIN: Final = timedelta(seconds=5)
"""From the failing check to every server that answers being verified on the former issuer."""
NODE: Final = "n3"

Fault = Callable[[LoadedStack], AbstractContextManager[None]]


@contextmanager
def frozen(stack: LoadedStack) -> Iterator[None]:
    """Stop the server where it stands; it answers nobody."""
    stack.stack.kill(NODE, signal.SIGSTOP)
    try:
        yield
    finally:
        stack.stack.kill(NODE, signal.SIGCONT)


@contextmanager
def edited(stack: LoadedStack, before: str, after: str) -> Iterator[None]:
    """Change the server's own configuration, which nobody but an administrator writes."""
    path = stack.layout.node(NODE) / "nats.conf"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    try:
        yield
    finally:
        path.write_text(text)


def broken(stack: LoadedStack) -> AbstractContextManager[None]:
    """Make the configuration one that cannot be read."""
    return edited(stack, 'include "live/accounts.conf"', 'include "live/gone.conf"')


def unreadable(stack: LoadedStack) -> AbstractContextManager[None]:
    """Name a certificate that is not there."""
    return edited(stack, "/live/server.pem", "/live/not-there.pem")


@contextmanager
def mismatched(stack: LoadedStack) -> Iterator[None]:
    """Name a key that is another certificate's."""
    key = stack.layout.node(NODE) / "another-key.pem"
    key.write_bytes(new_leaf_key(system_entropy).reveal())
    with edited(stack, f"{stack.layout.node(NODE)}/live/server-key.pem", str(key)):
        yield


@dataclass(frozen=True, slots=True)
class Case:
    """One way to fail, and when."""

    fault: Fault
    is_active: bool
    """Whether the successor is active already."""

    def __str__(self) -> str:
        return (
            f"{self.fault.__name__} server {'after' if self.is_active else 'before'} it is active"
        )


CASES: Final = [
    Case(fault, is_active)
    for is_active in (False, True)
    for fault in (frozen, broken, unreadable, mismatched)
]


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", chosen(CASES))
async def test_a_server_that_fails_in_a_rotation_holds_it_or_undoes_it(
    rotating_stack: LoadedStack, case: Case, tmp_path: Path
) -> None:
    stack = rotating_stack
    async with unharmed_load(stack, "faults", tmp_path):
        await (fails_after if case.is_active else fails_before)(stack, case, tmp_path)


async def fails_before(stack: LoadedStack, case: Case, notes: Path) -> None:
    """It is held while the server fails, and goes on when that is over."""
    story = await after_a_boundary(stack)
    with case.fault(stack):
        async with ordering(stack, notes / "order", "rotate", "ca") as running:
            reason = await story.held_by(f"server {NODE}: ", within_s=20)
            held_at = datetime.now(UTC)
            await running.ended(within_s=30)
        assert stack.order is not None
        await stack.answers_again(stack.order, after=held_at)
        assert not story.events(METADATA, "issuer.activated"), reason
        returned_at = datetime.now(UTC)
    activated = await story.saw(METADATA, "issuer.activated", within_s=20)

    took = at(activated) - returned_at
    print(f"{case}: held ({reason}), went on after {seconds(took)}")  # noqa: T201
    assert took <= GOES_ON_WITHIN
    assert not story.events(METADATA, "issuer.went_back")


async def fails_after(stack: LoadedStack, case: Case, notes: Path) -> None:
    """It is undone on all servers that answer, and the one that failed is fenced."""
    story, staged = await before_the_boundary(stack)
    former = (await story.outlook())["active"]
    # As late as possible: whatever else is announced before would show the fault too early.
    await pause_until(next_boundary(at(staged)) - timedelta(seconds=0.7))
    if case.fault is frozen:
        # Watcher looks away, so that the server freezes before it has followed and not after.
        stack.stack.kill(WATCHER, signal.SIGSTOP)
        try:
            activated = await story.saw(
                METADATA, "issuer.activated", within_s=PERIOD_S, every_s=0.02
            )
            stack.stack.kill(NODE, signal.SIGSTOP)
        finally:
            stack.stack.kill(WATCHER, signal.SIGCONT)
        with frozen(stack):
            await is_undone(story, former, case)
    else:
        with case.fault(stack):
            activated = await story.saw(METADATA, "issuer.activated", within_s=PERIOD_S)
            await is_undone(story, former, case)
    assert activated["issuer"] == staged["issuer"]
    returned_at = datetime.now(UTC)
    unfenced = await story.saw(METADATA, "servers.unfenced", within_s=20)
    print(f"{case}: verified again after {seconds(at(unfenced) - returned_at)}")  # noqa: T201
    assert unfenced["servers"] == [NODE]
    await ordered(stack, notes / "again", "rotate", "ca")


async def is_undone(story: Story, former: str, case: Case) -> None:
    """Everybody who answers is back on the former issuer in time, and requests are answered."""
    failed = await story.saw(
        WATCHER, "server.failed", within_s=20, where=lambda e: e["server"] == NODE
    )
    back = await story.saw(METADATA, "issuer.went_back", within_s=20)
    since_back = Story(story.stack, at(back))
    verified = await since_back.verified(other_nodes(NODE), former, within_s=20)
    took = verified - at(failed)
    print(  # noqa: T201
        f"{case}: {failed['reason']}; went back after {seconds(at(back) - at(failed))}, "
        f"verified on {former} after {seconds(took)}"
    )
    assert took <= BACK_WITHIN
    assert (back["issuer"], back["fenced"]) == (former, [NODE])
    assert story.stack.order is not None
    await story.stack.answers_again(story.stack.order, after=verified)

    async def is_withdrawn() -> bool:
        names = {i["name"] for i in (await story.outlook())["issuers"] if i["state"] != "withdrawn"}
        return back["failed"] not in names

    await until(is_withdrawn, within_s=15, what=f"the end of trust in {back['failed']}")
    assert (await story.outlook())["fenced"] == [NODE]
