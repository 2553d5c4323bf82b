"""AuthController's composition root."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from services.authcontroller.adapters.response_seed import open_response_seed
from services.authcontroller.config import AuthControllerSettings
from services.authcontroller.domain.report_lines import consumer_line, producer_line
from services.authcontroller.flows.authentication import Authenticator, Progress
from svc_core.adapters.journal import FileJournal, open_journal, read_journal
from svc_core.domain.identity import AUTHCONTROLLER
from svc_core.domain.journal_records import RecordKind
from svc_core.domain.milestones import Milestones
from svc_core.domain.subjects import AUTH_STREAM
from svc_core.flows.effects import Effects
from svc_core.flows.refusals import Refusals, Refuser
from svc_core.flows.traffic_reporting import TrafficInterval, TrafficReporter
from svc_core.kit import ServiceKit
from svc_core.kit import serve as serve_kit
from svc_core.runtime.supervision import Loop
from svc_core.runtime.traffic_metrics import TrafficMetrics

_JOURNAL_KEPT: Final = timedelta(hours=24)

Kit = ServiceKit[AuthControllerSettings]


async def serve(settings: AuthControllerSettings, stop: asyncio.Event) -> None:
    """Run AuthController until ``stop`` is set."""
    await serve_kit(settings, AUTHCONTROLLER, build, stop)


@asynccontextmanager
async def build(kit: Kit) -> AsyncIterator[Sequence[Loop]]:
    """Yield AuthController's loops; its journal is open meanwhile."""
    validity = kit.settings.rotation.keys.validity
    with open_journal(
        kit.settings.journal_dir,
        boot_id=kit.entropy(4).hex(),
        now=kit.clock.now(),
        keep=max(validity, _JOURNAL_KEPT),
    ) as journal:
        metrics = TrafficMetrics(kit.metrics)
        yield [
            await _authenticator(kit, journal, metrics),
            TrafficReporter(metrics, _report, kit.around),
        ]


async def _authenticator(kit: Kit, journal: FileJournal, metrics: TrafficMetrics) -> Authenticator:
    effects = Effects(RecordKind.HANDLED, journal, kit.clock, metrics)
    rotation = kit.settings.rotation
    since = kit.clock.now() - rotation.keys.validity - rotation.skew
    earlier = read_journal(kit.settings.journal_dir, since=since)
    await asyncio.to_thread(effects.restore, earlier, rotation)
    refuser = Refuser(AUTHCONTROLLER, kit.instance)
    return Authenticator(
        kit.bus,
        kit.channel,
        effects,
        Refusals(refuser, AUTH_STREAM, kit.bus, journal, kit.clock, metrics),
        Progress(metrics, Milestones(), Milestones()),
        seed=open_response_seed(kit.settings.state_dir, kit.entropy),
    )


def _report(interval: TrafficInterval) -> tuple[str, ...]:
    counts = interval.now
    return (
        consumer_line(
            received=counts.received,
            processed=counts.answered,
            failed=counts.failed + counts.rejected,
            downtimes=interval.downtimes,
            per_minute=interval.per_minute(lambda c: c.received),
            is_healthy=interval.is_ready,
        ),
        producer_line(
            sent=counts.acked,
            failed=counts.sent - counts.acked,
            per_minute=interval.per_minute(lambda c: c.acked),
        ),
    )
