"""A `SecretStore` in memory: the same answers as OpenBao's KV v2, none of its waiting."""

from dataclasses import dataclass, field

import msgspec

from svc_core.errors import StaleWriteError, SvcError
from svc_core.ports.secret_store import Document, Versioned
from tests.fakes.mishaps import Mishaps


@dataclass
class MemorySecretStore:
    """One store; everyone in one test shares it."""

    failure: SvcError | None = None
    """What every call fails with, as long as it is set."""
    mishaps: Mishaps = field(default_factory=Mishaps)
    """What single writes fail with."""
    fetched: list[str] = field(default_factory=list)
    """The paths that were read, in order."""
    history: list[tuple[str, Document]] = field(default_factory=list)
    """Every write that happened, in order."""
    _entries: dict[str, Versioned] = field(default_factory=dict)

    async def fetch(self, path: str) -> Versioned | None:
        """Return the newest version of ``path``, or None."""
        self.fetched.append(path)
        self._fail()
        return self._entries.get(path)

    async def store(self, path: str, data: Document, *, expected_version: int | None) -> int:
        """Write ``data`` if the newest version is the expected one."""
        self._fail()
        # What a store keeps has gone through JSON, and is nobody else's to change.
        kept = msgspec.json.decode(msgspec.json.encode(data), type=dict[str, object])
        with self.mishaps.effect():
            found = self._entries.get(path)
            version = found.version if found else 0
            if expected_version is not None and expected_version != version:
                raise StaleWriteError("another writer was first")
            self._entries[path] = Versioned(kept, version + 1)
            self.history.append((path, kept))
        return version + 1

    async def fetch_names(self, path: str) -> tuple[str, ...]:
        """Return the names directly below ``path``; folders end in ``/``."""
        self._fail()
        folder = path.rstrip("/") + "/"
        below = [key[len(folder) :] for key in self._entries if key.startswith(folder)]
        names = {name.partition("/")[0] + ("/" if "/" in name else "") for name in below}
        return tuple(sorted(names))

    async def remove(self, path: str) -> None:
        """Delete ``path`` with all its versions."""
        self._fail()
        with self.mishaps.effect():
            self._entries.pop(path, None)

    def put(self, path: str, data: Document) -> None:
        """Write as somebody else would, unseen by the mishaps of this process."""
        found = self._entries.get(path)
        self._entries[path] = Versioned(dict(data), (found.version if found else 0) + 1)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
