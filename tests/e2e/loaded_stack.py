"""The whole system as processes, with requests going through it all the time."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from devstack.layout import Layout
from devstack.services import RunService, run_service
from devstack.stack import ChildStatus, Stack, StackOptions, open_stack
from svc_core.adapters.files import write_private
from svc_core.adapters.journal import read_journal
from svc_core.domain import load_order
from svc_core.domain.desired import TrustMode
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.domain.journal_records import JournalRecord, RecordKind
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.profiles import PROFILES, RotationProfile
from svc_core.domain.traffic import Traffic, count_traffic
from tests.e2e.waiting import until
from tests.integration.background import in_background

RATE: Final = 50.0
"""Requests a second: two such stacks at a time leave two processors some room."""
BRISK: Final = PROFILES["soak"]
"""For whoever waits for several periods: a third less of it than in `demo`."""
ROTATES_WITHIN_S: Final = 45.0
"""A CA period of any profile that is used here, and half of one for a busy machine."""

_LOAD_LASTS: Final = timedelta(hours=1)
_DRAINS_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """A CA rotation that Metadata reported complete."""

    issuer: str
    boundary_at: datetime
    """When the issuer began to sign leaves."""

    @classmethod
    def of(cls, event: dict[str, Any]) -> Self:
        """Read Metadata's event."""
        return cls(event["issuer"], datetime.fromisoformat(event["boundary_at"]))


@dataclass(slots=True)
class LoadedStack:
    """A running stack under a standing load."""

    stack: Stack
    order: LoadOrder | None = None
    """The load of now."""

    @property
    def layout(self) -> Layout:
        """Where it is on disk."""
        return self.stack.layout

    def child(self, name: str) -> ChildStatus:
        """Return one child as it is now."""
        return next(child for child in self.stack.children if child.name == name)

    def order_load(self, name: str, *, rate: float = RATE) -> LoadOrder:
        """Put the stack under a new load from now on, in place of the one before; return it."""
        now = datetime.now(UTC)
        order = LoadOrder(f"{name}-{now:%H%M%S%f}", rate, now, now + _LOAD_LASTS)
        write_private(self.layout.load_file, load_order.encode(order).encode())
        self.order = order
        return order

    def order_silence(self) -> None:
        """End the load."""
        self.layout.load_file.unlink(missing_ok=True)
        self.order = None

    def traffic(self, order: LoadOrder) -> Traffic:
        """Count what both ends wrote down about ``order``; no line may be unreadable."""
        return count_traffic(records(self.layout, since=order.starts_at), order=order)

    async def account(self, order: LoadOrder) -> Traffic:
        """Count a load that was replaced, once all that was acknowledged of it is answered."""
        counts = [self.traffic(order)]

        def is_settled() -> bool:
            counts.append(self.traffic(order))
            return not counts[-1].lost and counts[-1].acked == counts[-2].acked

        await until(lambda: self.has_ended(order), within_s=10, what=f"the end of {order.run_id}")
        await until(
            is_settled,
            within_s=_DRAINS_WITHIN_S,
            what=lambda: f"answers to {sorted(counts[-1].lost)[:5]}",
            every_s=1.0,
        )
        return counts[-1]

    async def conclude(self, order: LoadOrder, *, rate: float = RATE) -> Traffic:
        """Put the stack under a standing load again and check that ``order`` came through unharmed.

        Nothing acknowledged is lost, nothing has its effect twice or is answered unasked.
        """
        self.order_load("standing", rate=rate)
        traffic = await self.account(order)
        assert traffic.acked
        check_unharmed(traffic)
        return traffic

    def has_ended(self, order: LoadOrder) -> bool:
        """Say whether Gatekeeper has put ``order`` away, which was replaced or is over."""
        lines = self.layout.log_of(GATEKEEPER).read_text().splitlines()
        return any('"load.ended"' in line and order.run_id in line for line in lines)

    async def answers_again(self, order: LoadOrder, *, after: datetime) -> None:
        """Wait until a request that was due after an instant has been answered."""

        def is_answered() -> bool:
            sent: set[str] = set()
            for record in records(self.layout, since=after):
                if record.kind is RecordKind.SENT and record.record_id.startswith(order.run_id):
                    sent.add(record.record_id)
                elif record.kind is RecordKind.ANSWERED and record.record_id in sent:
                    return True
            return False

        await until(is_answered, within_s=30, what=f"an answer to a request sent after {after}")

    def rotations(self, *, since: datetime) -> list[Rotation]:
        """Return the completed rotations whose issuer began to sign after ``since``."""
        logs = self.layout.logs.glob(f"{METADATA}*.jsonl")
        lines = [line for log in logs for line in log.read_text().splitlines()]
        found = [Rotation.of(json.loads(line)) for line in lines if '"ca.rotated"' in line]
        return sorted((r for r in found if r.boundary_at > since), key=lambda r: r.boundary_at)

    async def next_rotation(self, *, since: datetime) -> Rotation:
        """Wait for the first rotation whose issuer began to sign after ``since``."""
        await until(
            lambda: bool(self.rotations(since=since)),
            within_s=ROTATES_WITHIN_S,
            what=f"a CA rotation that began after {since}",
        )
        return self.rotations(since=since)[0]


def check_unharmed(traffic: Traffic) -> None:
    """Check that nothing is lost, has its effect twice, or was answered unasked."""
    assert not traffic.lost
    assert not traffic.duplicated
    assert not traffic.unasked


def records(layout: Layout, *, since: datetime) -> Iterator[JournalRecord]:
    """Yield what both ends wrote down at or after ``since``; a damaged line is an error."""
    for service in (GATEKEEPER, AUTHCONTROLLER):
        yield from read_journal(
            layout.service(service) / "journal", since=since, on_damage=_refuse_damage
        )


def _refuse_damage(path: Path, line: int) -> None:
    raise AssertionError(f"line {line} of {path} cannot be read")


@contextmanager
def open_root() -> Iterator[Path]:
    """Yield a directory that servers without rights can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="st-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o755)
        yield root


@contextmanager
def open_loaded_stack(
    *,
    profile: RotationProfile = PROFILES["demo"],
    run: RunService = run_service,
    metadata_replicas: int = 1,
    longest_pause_s: float = 5.0,
    trust_mode: TrustMode = TrustMode.INTERMEDIATES,
) -> Iterator[LoadedStack]:
    """Boot a stack, put it under load and end it.

    Args:
        profile: how often what rotates.
        run: what runs a service.
        metadata_replicas: processes of Metadata.
        longest_pause_s: most that is waited before a service that died is started again.
        trust_mode: what NATS servers trust.
    """
    said: list[str] = []
    with open_root() as root:
        options = StackOptions(
            root / "var",
            profile.name,
            run=run,
            metadata_replicas=metadata_replicas,
            longest_pause=timedelta(seconds=longest_pause_s),
            trust_mode=trust_mode,
        )
        with in_background(lambda: open_stack(options, said.append)) as stack:
            loaded = LoadedStack(stack)
            loaded.order_load("standing")
            yield loaded


class SharedStack:
    """One loaded stack for all tests that want one, until a test needs the machine for itself."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._stack: LoadedStack | None = None

    def use(self) -> LoadedStack:
        """Return the running stack, booting it at the first call."""
        if self._stack is None:
            self._stack = self._resources.enter_context(open_loaded_stack())
        return self._stack

    def end(self) -> None:
        """End the stack, if there is one."""
        self._stack = None
        self._resources.close()
