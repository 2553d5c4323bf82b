"""``stack.json``: which processes belong to a stack, written before each of them runs."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from devstack.errors import StackInUseError
from devstack.layout import Layout
from devstack.process_ids import ProcessId
from svc_core.adapters.files import write_private


@dataclass(frozen=True, slots=True)
class RegisteredChild:
    """One child as written down."""

    name: str
    stage: int
    process: ProcessId


@dataclass(frozen=True, slots=True)
class StackRecord:
    """Content of ``stack.json``."""

    owner: ProcessId
    is_kept: bool = False
    """The supervisor left and its children live on, as asked."""
    children: tuple[RegisteredChild, ...] = ()


class Registry:
    """Keeps ``stack.json`` in step with the children that run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._record = StackRecord(owner=ProcessId.of(os.getpid()))

    def add(self, child: RegisteredChild) -> None:
        """Write down one child, in place of an earlier one of the same name."""
        others = tuple(c for c in self._record.children if c.name != child.name)
        self._store(replace(self._record, children=(*others, child)))

    def keep(self) -> None:
        """Note that the children live on without this process."""
        self._store(replace(self._record, is_kept=True))

    def close(self) -> None:
        """Remove the file: nothing is left to end."""
        self._path.unlink(missing_ok=True)

    def _store(self, record: StackRecord) -> None:
        write_private(self._path, (json.dumps(asdict(record), indent=2) + "\n").encode())
        self._record = record


def read_record(path: Path) -> StackRecord | None:
    """Return the written record; None when there is none or it cannot be read."""
    try:
        document = json.loads(path.read_text())
        children = tuple(
            RegisteredChild(c["name"], int(c["stage"]), ProcessId(**c["process"]))
            for c in document["children"]
        )
        return StackRecord(ProcessId(**document["owner"]), bool(document["is_kept"]), children)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def stack_lock(layout: Layout) -> Iterator[None]:
    """Hold the directory's lock; the kernel releases it when this process ends, however it does.

    Raises:
        StackInUseError: another process holds it.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise StackInUseError(layout.root) from err
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
