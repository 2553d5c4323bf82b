"""What the journals of both ends say about one run, message by message."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from svc_core.domain.journal_records import JournalRecord, RecordKind, unix_ns
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.timing import NS_PER_MS


@dataclass(frozen=True, slots=True)
class Traffic:
    """The messages of one run, counted by id; instants in nanoseconds since 1970."""

    due: Mapping[str, int]
    """Every id about to be published, with the instant it was due."""
    acked: frozenset[str]
    """Requests the broker acknowledged."""
    handled: Mapping[str, int]
    """How often each request had its effect at the other end, which stored a response first."""
    answered: Mapping[str, int]
    """How often each response had its effect."""
    answered_at: Mapping[str, int]
    """When each answer came first."""
    answer_epochs: frozenset[int]
    """Key epochs under which answers came."""
    skipped: int
    redelivered: int
    rejected: Mapping[str, int]
    """Refused messages of both ends by error code."""
    boots: int
    """Processes of both ends that began during the run."""

    @property
    def lost(self) -> frozenset[str]:
        """Ids that were stored by the broker and never had their effect at the other end."""
        requests = self.acked - self.handled.keys() - self.answered.keys()
        return requests | (self.handled.keys() - self.answered.keys())

    @property
    def duplicated(self) -> frozenset[str]:
        """Ids whose effect was recorded more than once, at either end."""
        counted = (*self.handled.items(), *self.answered.items())
        return frozenset(record_id for record_id, times in counted if times > 1)

    @property
    def in_doubt(self) -> frozenset[str]:
        """Ids never acknowledged nor seen again: the sender died or gave up while publishing."""
        return frozenset(self.due) - self.acked - self.handled.keys() - self.answered.keys()

    @property
    def unasked(self) -> frozenset[str]:
        """Answers of this run to requests that nobody noted to have sent."""
        return frozenset(self.answered) - self.due.keys()

    @property
    def latencies_ms(self) -> list[float]:
        """Time from due to answered of every request with an answer, shortest first."""
        found = (
            (at_ns - self.due[record_id]) / NS_PER_MS
            for record_id, at_ns in self.answered_at.items()
            if record_id in self.due
        )
        return sorted(found)


@dataclass(slots=True)
class _Tally:
    due: dict[str, int] = field(default_factory=dict)
    acked: set[str] = field(default_factory=set)
    handled: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    answered_at: dict[str, int] = field(default_factory=dict)
    answer_epochs: set[int] = field(default_factory=set)
    skipped: int = 0
    redelivered: int = 0

    def add(self, record: JournalRecord) -> None:
        match record.kind:
            case RecordKind.SENT:
                self.due[record.record_id] = int(record.extra)
            case RecordKind.ACKED:
                self.acked.add(record.record_id)
            case RecordKind.HANDLED:
                self.handled[record.record_id] += 1
            case RecordKind.ANSWERED:
                self.answered[record.record_id] += 1
                self.answered_at.setdefault(record.record_id, record.at_ns)
                self.answer_epochs.add(int(record.extra.partition("/")[0]))
            case RecordKind.SKIPPED:
                self.skipped += int(record.extra)
            case RecordKind.REDELIVERED:
                self.redelivered += 1
            case _:
                pass


def count_traffic(records: Iterable[JournalRecord], *, order: LoadOrder) -> Traffic:
    """Count the records of both ends that belong to ``order``'s run.

    Records about a request belong by its id; refusals and boots, which have none, by their time.
    """
    prefix = f"{order.run_id}-"
    began = unix_ns(order.starts_at)
    tally = _Tally()
    rejected: Counter[str] = Counter()
    boots = 0
    for record in records:
        if record.kind is RecordKind.REJECTED:
            rejected[record.extra] += record.at_ns >= began
        elif record.kind is RecordKind.BOOTED:
            boots += record.at_ns >= began
        elif record.record_id.startswith(prefix):
            tally.add(record)
    return Traffic(
        due=tally.due,
        acked=frozenset(tally.acked),
        handled=tally.handled,
        answered=tally.answered,
        answered_at=tally.answered_at,
        answer_epochs=frozenset(tally.answer_epochs),
        skipped=tally.skipped,
        redelivered=tally.redelivered,
        rejected={code: times for code, times in rejected.items() if times},
        boots=boots,
    )
