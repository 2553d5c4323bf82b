"""The journal on disk: one append-only file per boot, one ``write`` per record.

A record is in the kernel's hands when `FileJournal.append` returns, so it survives SIGKILL of the
process (not the loss of the machine: nothing here waits for the disk). A file that grew past its
limit is continued in the next one; files that are too old to matter are removed.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from svc_core.adapters.files import make_private_directory
from svc_core.domain.journal_records import JournalRecord, RecordKind, decode, encode, unix_ns
from svc_core.errors import StorageFullError

log = structlog.get_logger()

_ROLL_BYTES: Final = 64 << 20
_KEPT_FILES: Final = 32
_SUFFIX: Final = ".journal"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileJournal:
    """Appends records of one boot; made by `open_journal`."""

    def __init__(self, directory: Path, *, prefix: str, roll_bytes: int = _ROLL_BYTES) -> None:
        self._directory = directory
        self._prefix = prefix
        self._roll_bytes = roll_bytes
        self._part = 0
        self._size = 0
        self._descriptor = self._open_part()

    def append(self, record: JournalRecord) -> None:
        """Write one record with a single ``write``.

        Raises:
            StorageFullError: the disk is full; the journal takes nothing any more.
        """
        line = encode(record)
        if self._size + len(line) > self._roll_bytes:
            self.close()
            self._part += 1
            self._descriptor = self._open_part()
        try:
            written = os.write(self._descriptor, line)
        except OSError as err:
            raise self._refusal(err) from err
        if written != len(line):
            # Half a line may only ever be the last of its file: what follows goes to a new one.
            self._size = self._roll_bytes
            raise StorageFullError(f"no space left for the journal in {self._directory}")
        self._size += written

    def close(self) -> None:
        """Close the file that is being written."""
        os.close(self._descriptor)

    def _open_part(self) -> int:
        path = self._directory / f"{self._prefix}.{self._part:04d}{_SUFFIX}"
        self._size = 0
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as err:
            raise self._refusal(err) from err

    def _refusal(self, err: OSError) -> Exception:
        if err.errno in _NO_ROOM:
            return StorageFullError(f"no space left for the journal in {self._directory}")
        return err


@contextmanager
def open_journal(
    directory: Path, *, boot_id: str, now: datetime, keep: timedelta
) -> Iterator[FileJournal]:
    """Begin this boot's journal, remove what is too old, and close the journal at the end.

    Args:
        directory: made if absent, mode 0700.
        boot_id: names this boot in the file's name and in its first record.
        keep: files that were last written longer ago are removed, and all but the newest 32.

    Raises:
        StorageFullError: the disk is full.
    """
    make_private_directory(directory)
    _remove_old(directory, before=now - keep)
    journal = FileJournal(directory, prefix=f"{now:%Y%m%dT%H%M%S.%f}-{boot_id}")
    try:
        journal.append(JournalRecord(RecordKind.BOOTED, unix_ns(now), boot_id))
        yield journal
    finally:
        journal.close()


def report_damage(path: Path, line: int) -> None:
    """Log that one line of a journal is no record."""
    log.warning("journal.damaged", file=path.name, line=line)


def read_journal(
    directory: Path,
    *,
    since: datetime,
    on_damage: Callable[[Path, int], None] = report_damage,
) -> Iterator[JournalRecord]:
    """Yield every record made at or after ``since``, boot by boot; none if there is no journal.

    A last line without its line feed was torn by a crash and is left out. Any other line that is
    no record is left out too and told to ``on_damage`` with its file and number.
    """
    earliest = unix_ns(since)
    for path in _files(directory):
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    record = decode(line[:-1])
                except ValueError:
                    on_damage(path, number)
                    continue
                if record.at_ns >= earliest:
                    yield record


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{_SUFFIX}"))


def _remove_old(directory: Path, *, before: datetime) -> None:
    files = _files(directory)
    excess = set(files[:-_KEPT_FILES])
    for path in files:
        if path in excess or path.stat().st_mtime < before.timestamp():
            path.unlink(missing_ok=True)
