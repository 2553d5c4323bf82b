"""Skews: whose clock differs by how much, and what must hold all the same."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from svc_core.domain.identity import METADATA, ServiceName
from svc_core.errors import SecretStoreError
from tests.chaos.naps import all_ready, settled
from tests.chaos.rotation_story import Event, Story, at
from tests.chaos.short_profiles import SKEWED
from tests.chaos.short_stack import RATE
from tests.chaos.timed_service import library, set_clock
from tests.chaos.verdicts import log_fault
from tests.e2e.loaded_stack import LoadedStack, check_unharmed
from tests.e2e.waiting import until

ROTATES_WITHIN_S: Final = 4 * SKEWED.ca.period.total_seconds()
_READ_WITHIN_S: Final = 60.0
_RIGHT: Final = timedelta(0)
_LEAVES: Final = frozenset({"cert.pem", "server.pem", "route.pem"})


@dataclass(frozen=True, slots=True)
class Skew:
    """Whose clocks are how far ahead of all others; OpenBao and NATS have this machine's time."""

    who: tuple[ServiceName, ...]
    ahead: timedelta
    is_step: bool
    """Whether the clocks are set in the middle of a rotation; else before the start."""

    def __str__(self) -> str:
        names = "all services" if len(self.who) > 1 else self.who[0]
        if self.is_step:
            return f"{names} set {'forward' if self.ahead > _RIGHT else 'back'}"
        return f"{names} {'ahead' if self.ahead > _RIGHT else 'behind'}"

    @contextmanager
    def applied(self, stack: LoadedStack) -> Iterator[None]:
        """Set the clocks now, and right again in the end."""
        try:
            self._set(stack, self.ahead)
            yield
        finally:
            self._set(stack, _RIGHT)

    def _set(self, stack: LoadedStack, ahead: timedelta) -> None:
        for name in self.who:
            set_clock(stack.layout.service(name), ahead)


@asynccontextmanager
async def unnoticed(stack: LoadedStack, what: str) -> AsyncIterator[Story]:
    """Keep a load on meanwhile; then no message and no step of the authority shows anything.

    Nothing is lost, doubled or refused; no epoch has two issuers, no version comes twice, each
    issuer was proved to be trusted before it signed, and the audit log is whole.
    """
    order = stack.order_load("skew", rate=RATE)
    await all_ready(stack)
    await stack.answers_again(order, after=order.starts_at)
    story = Story.begin(stack)
    yield story
    await all_ready(stack)
    await rotated(story, since=datetime.now(UTC))
    traffic = await settled(stack, order)
    print(f"{what}: {len(traffic.acked)} requests, {_rotations(story)}")  # noqa: T201
    check_unharmed(traffic)
    assert not traffic.rejected, traffic.rejected
    check_steps(story)
    await until(lambda: _is_whole(stack), within_s=_READ_WITHIN_S, what="a whole audit log")


def check_steps(story: Story) -> None:
    """Check what the authority did: everything once, in order, and nothing unproved or undone."""
    activated = story.events(METADATA, "issuer.activated")
    epochs = [int(str(event["issuer"]).split("-")[1]) for event in activated]
    assert epochs
    assert epochs == sorted(set(epochs)), epochs
    assert all(event["proven"] for event in activated), activated
    undone = [
        e for n in ("issuer.went_back", "issuer.withdrawn") for e in story.events(METADATA, n)
    ]
    assert not undone, undone
    versions = [event["version"] for event in story.events(METADATA, "desired.stored")]
    assert versions
    assert versions == sorted(set(versions)), versions


async def _is_whole(stack: LoadedStack) -> bool:
    try:
        fault = await log_fault(stack.layout)
    except SecretStoreError:
        # It is long, and OpenBao has others to answer.
        return False
    assert fault is None
    return True


def _rotations(story: Story) -> str:
    took = [event["elapsed_ms"] for event in story.events(METADATA, "ca.rotated")]
    return f"rotations took {', '.join(f'{ms:.0f} ms' for ms in took)}"


async def rotated(story: Story, *, since: datetime) -> Event:
    """Wait for a rotation that is complete after an instant."""
    after = Story(story.stack, since)
    return await after.saw(METADATA, "ca.rotated", within_s=ROTATES_WITHIN_S)


async def shown_ahead(story: Story, service: ServiceName) -> timedelta:
    """Return how far ahead the clock of a service was when it was last seen.

    Its log is by this machine's time, unless libfaketime makes the whole process live by another;
    then the file that it writes to is.
    """
    await story.saw(service, "connection.swapped", within_s=ROTATES_WITHIN_S)
    if library():
        path = story.stack.layout.log_of(service)
        last = json.loads(path.read_text().splitlines()[-1])
        return at(last) - datetime.fromtimestamp(path.stat().st_mtime, UTC)
    newest = story.events(service, "connection.swapped")[-1]
    return datetime.fromisoformat(newest["swap_ended_at"]) - at(newest)


async def in_the_middle(story: Story) -> datetime:
    """Wait until a successor is trusted by all and does not sign yet; return when that was seen."""
    now = Story.begin(story.stack)
    await now.saw(METADATA, "issuer.trusted", within_s=ROTATES_WITHIN_S, every_s=0.02)
    return datetime.now(UTC)


def head_starts(stack: LoadedStack) -> Mapping[str, timedelta]:
    """Return by file how long before it was written the certificate in it became valid."""
    root = stack.layout.root
    found: dict[str, timedelta] = {}
    for path in root.rglob("*.pem"):
        # What is replaced meanwhile is none of those in use.
        with suppress(FileNotFoundError):
            if path.name in _LEAVES:
                found[str(path.relative_to(root))] = _head_start(path)
    return found


def _head_start(path: Path) -> timedelta:
    written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    first = x509.load_pem_x509_certificates(path.read_bytes())[0]
    return written_at - first.not_valid_before_utc
