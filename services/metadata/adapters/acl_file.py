"""`AclManifest` as a file of this machine."""

from collections.abc import AsyncGenerator
from pathlib import Path

from svc_core.adapters.directory_watch import looks_due
from svc_core.errors import ConfigError
from svc_core.wire.acl_yaml import MAX_BYTES


class FileManifest:
    """The file, followed while it is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    async def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield its bytes now and whenever they may have changed; None while there is no file.

        Raises:
            ConfigError: it is there and cannot be read, or its directory cannot be watched.
        """
        async for _ in looks_due(self._path.parent):
            yield self._read()

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                # One more than is allowed, so that too much is seen and not taken into memory.
                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise ConfigError(f"{self._path}: cannot be read: {err.strerror}") from err
