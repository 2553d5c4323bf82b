"""The journal on disk: what was appended is read back, whatever happened to its end."""

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.adapters.journal import FileJournal, open_journal, read_journal
from svc_core.domain.journal_records import JournalRecord, RecordKind, decode, encode, unix_ns
from svc_core.errors import StorageFullError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEGINNING = NOW - timedelta(days=365)
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200)


def sent(index: int, *, after: timedelta = timedelta(0)) -> JournalRecord:
    return JournalRecord(RecordKind.SENT, unix_ns(NOW + after), f"run-boot-{index}", "17")


def write(directory: Path, *records: JournalRecord, boot_id: str = "boot1") -> None:
    with open_journal(directory, boot_id=boot_id, now=NOW, keep=timedelta(days=1)) as journal:
        for record in records:
            journal.append(record)


def test_records_come_back_boot_by_boot(tmp_path: Path) -> None:
    write(tmp_path / "journal", sent(0), sent(1), boot_id="boot1")
    write(tmp_path / "journal", sent(2), boot_id="boot2")

    records = list(read_journal(tmp_path / "journal", since=BEGINNING))

    ids = ["boot1", "run-boot-0", "run-boot-1", "boot2", "run-boot-2"]
    assert [record.record_id for record in records] == ids
    assert records[1] == sent(0)


def test_only_records_made_since_then_are_read(tmp_path: Path) -> None:
    write(tmp_path, sent(0, after=timedelta(seconds=-5)), sent(1, after=timedelta(seconds=5)))

    records = read_journal(tmp_path, since=NOW + timedelta(seconds=1))

    assert [record.record_id for record in records] == ["run-boot-1"]


def test_a_torn_last_line_is_left_out_in_silence(tmp_path: Path) -> None:
    write(tmp_path, sent(0), sent(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    damage: list[int] = []

    records = read_journal(tmp_path, since=BEGINNING, on_damage=lambda _, line: damage.append(line))

    assert [record.record_id for record in records] == ["boot1", "run-boot-0"]
    assert damage == []


def test_a_damaged_line_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    write(tmp_path, sent(0), sent(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"\trun-boot-0\t", b"\x00\xff"))
    damage: list[int] = []

    records = read_journal(tmp_path, since=BEGINNING, on_damage=lambda _, line: damage.append(line))

    assert [record.record_id for record in records] == ["boot1", "run-boot-1"]
    assert damage == [2]


def test_a_file_that_grew_past_its_limit_is_continued_in_the_next(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, prefix="boot", roll_bytes=200)
    for index in range(20):
        journal.append(sent(index))
    journal.close()

    records = list(read_journal(tmp_path, since=BEGINNING))

    assert records == [sent(index) for index in range(20)]
    assert all(file.stat().st_size <= 200 for file in tmp_path.iterdir())


def test_files_that_are_too_old_are_removed_at_the_next_boot(tmp_path: Path) -> None:
    write(tmp_path, sent(0))
    (old,) = tmp_path.iterdir()
    long_ago = (NOW - timedelta(days=2)).timestamp()
    os.utime(old, (long_ago, long_ago))

    write(tmp_path, sent(1), boot_id="boot2")

    assert not old.exists()


def test_the_journal_is_private(tmp_path: Path) -> None:
    write(tmp_path / "journal", sent(0))

    (file,) = (tmp_path / "journal").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_full_disk_is_said_plainly() -> None:
    with pytest.raises(StorageFullError, match="no space left for the journal in /dev"):
        FullDevice().append(sent(0))


class FullDevice(FileJournal):
    """A journal whose file is the device that is always full."""

    def __init__(self) -> None:
        super().__init__(Path("/dev"), prefix="full")

    def _open_part(self) -> int:
        return os.open("/dev/full", os.O_WRONLY)


def test_other_errors_are_not_hidden() -> None:
    journal = FullDevice()
    journal.close()

    with pytest.raises(OSError, match="Bad file descriptor") as failure:
        journal.append(sent(0))

    assert failure.value.errno == errno.EBADF


@given(st.sampled_from(RecordKind), st.integers(0, 1 << 63), PRINTABLE, PRINTABLE)
def test_a_record_survives_its_line(kind: RecordKind, at_ns: int, name: str, extra: str) -> None:
    record = JournalRecord(kind, at_ns, name, extra)

    line = encode(record)

    assert line.endswith(b"\n")
    assert decode(line[:-1]) == record


@given(st.binary(max_size=200))
def test_any_line_is_a_record_or_a_value_error(line: bytes) -> None:
    try:
        record = decode(line)
    except ValueError:
        return
    assert isinstance(record, JournalRecord)


@pytest.mark.parametrize("name", ["", "a b", "a\tb", "a\nb", "ä", "x" * 201])
def test_an_id_that_would_break_a_line_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a journal record"):
        encode(JournalRecord(RecordKind.SENT, 0, name))
