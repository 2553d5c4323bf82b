"""The two load services over one broker in memory: the real flows, without their processes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus_client import CollectorRegistry

from services.authcontroller.flows.authentication import Authenticator, Progress
from services.gatekeeper.domain.outstanding import Outstanding
from services.gatekeeper.flows.load_generation import LoadGenerator
from services.gatekeeper.flows.load_orders import LoadOrders
from services.gatekeeper.flows.requests import RequestSender
from services.gatekeeper.flows.responses import ResponseReceiver
from services.gatekeeper.flows.users import Users
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, InstanceName
from svc_core.domain.journal_records import JournalRecord, RecordKind
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.milestones import Milestones
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_STREAM, GATEKEEPER_STREAM
from svc_core.domain.traffic import Traffic, count_traffic
from svc_core.flows.effects import Effects
from svc_core.flows.refusals import Refusals, Refuser
from svc_core.ports.time import Clock
from svc_core.runtime.health import Health
from svc_core.runtime.traffic_metrics import TrafficMetrics
from tests.builders import DEMO, make_channel, make_surroundings, seeded_entropy
from tests.fakes.clock import START, LoopClock
from tests.fakes.memory_bus import MemoryBus
from tests.fakes.memory_journal import MemoryJournal


async def made_up_hash(user_id: str) -> str:
    return f"salt:{user_id}"


def make_order(*, rate: float = 10.0, seconds: float = 2.0, run_id: str = "run") -> LoadOrder:
    return LoadOrder(run_id, rate, START, START + timedelta(seconds=seconds))


@dataclass
class LoadServices:
    """Makes loops of either service; a second one of a kind is its next boot."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    clock: Clock = field(default_factory=LoopClock)
    orders: LoadOrders = field(default_factory=LoadOrders)
    asked: MemoryJournal = field(default_factory=MemoryJournal)
    answered: MemoryJournal = field(default_factory=MemoryJournal)

    def __post_init__(self) -> None:
        self.metrics = {
            GATEKEEPER: TrafficMetrics(CollectorRegistry()),
            AUTHCONTROLLER: TrafficMetrics(CollectorRegistry()),
        }
        self.outstanding = Outstanding()
        self.health = Health(self.clock)

    @property
    def records(self) -> Iterable[JournalRecord]:
        return (*self.asked.records, *self.answered.records)

    def traffic(self, order: LoadOrder) -> Traffic:
        return count_traffic(self.records, order=order)

    def sender(self) -> RequestSender:
        return RequestSender(
            make_channel(GATEKEEPER, self.clock),
            self.bus,
            self.asked,
            self.clock,
            Users(3, made_up_hash, seeded_entropy(b"users")),
            self.outstanding,
            self.metrics[GATEKEEPER],
            Milestones(),
        )

    def generator(self, *, boot_id: str = "boot1") -> LoadGenerator:
        around = make_surroundings(self.clock, health=self.health)
        drain = timedelta(seconds=5)
        return LoadGenerator(self.orders, self.sender(), around, boot_id=boot_id, drain=drain)

    def receiver(self) -> ResponseReceiver:
        metrics = self.metrics[GATEKEEPER]
        effects = Effects(RecordKind.ANSWERED, self.asked, self.clock, metrics)
        effects.restore(self.asked.records, DEMO)
        return ResponseReceiver(
            self.bus,
            make_channel(GATEKEEPER, self.clock),
            effects,
            Refusals(
                Refuser(GATEKEEPER, InstanceName("gatekeeper-1")),
                GATEKEEPER_STREAM,
                self.bus,
                self.asked,
                self.clock,
                metrics,
            ),
            self.outstanding,
        )

    def authenticator(self) -> Authenticator:
        metrics = self.metrics[AUTHCONTROLLER]
        effects = Effects(RecordKind.HANDLED, self.answered, self.clock, metrics)
        effects.restore(self.answered.records, DEMO)
        return Authenticator(
            self.bus,
            make_channel(AUTHCONTROLLER, self.clock),
            effects,
            Refusals(
                Refuser(AUTHCONTROLLER, InstanceName("authcontroller-1")),
                AUTH_STREAM,
                self.bus,
                self.answered,
                self.clock,
                metrics,
            ),
            Progress(metrics, Milestones(), Milestones()),
            seed=SecretBytes(b"s" * 32),
        )
