"""`AclManifest` as a file of this machine."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from watchfiles import awatch

from svc_core.errors import ConfigError
from svc_core.wire.acl_yaml import MAX_BYTES

_DEBOUNCE_MS: Final = 50
_STEP_MS: Final = 10
_REREAD_MS: Final = 2000


class FileManifest:
    """The file, watched by its directory, since a file is replaced and not written to.

    It is read again every two seconds all the same: a watch can be lost in silence.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    async def follow(self) -> AsyncGenerator[bytes | None, None]:
        """Yield its bytes now and whenever they may have changed; None while there is no file.

        Raises:
            ConfigError: it is there and cannot be read, or its directory cannot be watched.
        """
        yield self._read()
        try:
            async for _ in awatch(
                self._path.parent,
                debounce=_DEBOUNCE_MS,
                step=_STEP_MS,
                rust_timeout=_REREAD_MS,
                yield_on_timeout=True,
                recursive=False,
            ):
                yield self._read()
        except OSError as err:
            raise ConfigError(f"{self._path.parent}: cannot be watched: {err}") from err

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                # One more than is allowed, so that too much is seen and not taken into memory.
                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise ConfigError(f"{self._path}: cannot be read: {err.strerror}") from err
