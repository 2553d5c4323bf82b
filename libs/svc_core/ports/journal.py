"""A journal: what this process has done, written before anyone may believe it."""

from typing import Protocol

from svc_core.domain.journal_records import JournalRecord


class Journal(Protocol):
    """Append-only; what was appended survives the death of the process."""

    def append(self, record: JournalRecord) -> None:
        """Write one record; on return it is out of this process.

        Raises:
            StorageFullError: the disk is full (fatal).
        """
        ...
