"""A journal that is a list."""

from dataclasses import dataclass, field

from svc_core.domain.journal_records import JournalRecord, RecordKind, encode


@dataclass
class MemoryJournal:
    """Keeps records; refuses what the real one could not write."""

    records: list[JournalRecord] = field(default_factory=list)
    full: Exception | None = None
    """Raised instead of taking a record, when set."""

    def append(self, record: JournalRecord) -> None:
        """Keep one record."""
        if self.full is not None:
            raise self.full
        encode(record)
        self.records.append(record)

    def ids(self, kind: RecordKind) -> list[str]:
        """Return the ids of all records of ``kind``, oldest first."""
        return [record.record_id for record in self.records if record.kind is kind]
