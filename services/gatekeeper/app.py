"""Gatekeeper's composition root."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from services.gatekeeper.adapters.load_file import LoadFile
from services.gatekeeper.config import GatekeeperSettings
from services.gatekeeper.domain.outstanding import Outstanding
from services.gatekeeper.domain.report_lines import consumer_line
from services.gatekeeper.flows.load_generation import LoadGenerator
from services.gatekeeper.flows.load_orders import LoadOrders
from services.gatekeeper.flows.requests import RequestSender
from services.gatekeeper.flows.responses import ResponseReceiver
from services.gatekeeper.flows.users import HashPassword, Users
from svc_core.adapters.journal import FileJournal, open_journal, read_journal
from svc_core.crypto.passwords import demo_password, hash_password
from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.journal_records import RecordKind
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.milestones import Milestones
from svc_core.domain.subjects import GATEKEEPER_STREAM
from svc_core.flows.effects import Effects
from svc_core.flows.refusals import Refusals, Refuser
from svc_core.flows.traffic_reporting import TrafficInterval, TrafficReporter
from svc_core.kit import ServiceKit
from svc_core.kit import serve as serve_kit
from svc_core.runtime.supervision import Loop
from svc_core.runtime.traffic_metrics import TrafficMetrics

_STANDING_LOAD: Final = timedelta(days=3650)
_JOURNAL_KEPT: Final = timedelta(hours=24)
_GENERATION_BUDGET: Final = timedelta(seconds=10)

Kit = ServiceKit[GatekeeperSettings]


async def serve(settings: GatekeeperSettings, stop: asyncio.Event) -> None:
    """Run Gatekeeper until ``stop`` is set."""
    await serve_kit(settings, GATEKEEPER, build, stop)


@asynccontextmanager
async def build(kit: Kit) -> AsyncIterator[Sequence[Loop]]:
    """Yield Gatekeeper's loops; its journal is open meanwhile."""
    boot_id = kit.entropy(4).hex()
    validity = kit.settings.rotation.keys.validity
    with open_journal(
        kit.settings.journal_dir,
        boot_id=boot_id,
        now=kit.clock.now(),
        keep=max(validity, _JOURNAL_KEPT),
    ) as journal:
        yield await _loops(kit, journal, boot_id)


async def _loops(kit: Kit, journal: FileJournal, boot_id: str) -> Sequence[Loop]:
    settings = kit.settings
    metrics = TrafficMetrics(kit.metrics)
    outstanding = Outstanding()
    sender = RequestSender(
        kit.channel,
        kit.bus,
        journal,
        kit.clock,
        Users(settings.users, _password_hasher(kit), kit.entropy),
        outstanding,
        metrics,
        Milestones(),
    )
    orders = LoadOrders()
    generator = LoadGenerator(orders, sender, kit.around, boot_id=boot_id, drain=settings.drain)
    kit.health.expect(LoadGenerator.name, _GENERATION_BUDGET)
    return [
        LoadFile(settings.load_file, orders.replace, without=_standing_order(kit, boot_id)),
        generator,
        await _receiver(kit, journal, outstanding, metrics),
        TrafficReporter(metrics, _report, kit.around),
    ]


async def _receiver(
    kit: Kit, journal: FileJournal, outstanding: Outstanding, metrics: TrafficMetrics
) -> ResponseReceiver:
    refuser = Refuser(GATEKEEPER, kit.instance)
    refusals = Refusals(refuser, GATEKEEPER_STREAM, kit.bus, journal, kit.clock, metrics)
    effects = Effects(RecordKind.ANSWERED, journal, kit.clock, metrics)
    rotation = kit.settings.rotation
    since = kit.clock.now() - rotation.keys.validity - rotation.skew
    earlier = read_journal(kit.settings.journal_dir, since=since)
    await asyncio.to_thread(effects.restore, earlier, rotation)
    return ResponseReceiver(kit.bus, kit.channel, effects, refusals, outstanding)


def _password_hasher(kit: Kit) -> HashPassword:
    async def hash_for(user_id: str) -> str:
        password = demo_password(user_id)
        return await asyncio.to_thread(hash_password, password, entropy=kit.entropy)

    return hash_for


def _standing_order(kit: Kit, boot_id: str) -> LoadOrder | None:
    if kit.settings.load_rate == 0:
        return None
    now = kit.clock.now()
    return LoadOrder(f"standing-{boot_id}", kit.settings.load_rate, now, now + _STANDING_LOAD)


def _report(interval: TrafficInterval) -> tuple[str, ...]:
    counts = interval.now
    return (
        consumer_line(
            received=counts.received,
            processed=counts.answered,
            failed=counts.failed + counts.rejected,
            per_minute=interval.per_minute(lambda c: c.answered),
        ),
    )
