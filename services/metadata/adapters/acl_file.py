"""`AclManifest` as a file of this machine."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from watchfiles import awatch

from svc_core.errors import ConfigError

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
            ConfigError: it is there and cannot be read.
        """
        yield self._read()
        async for _ in awatch(
            self._path.parent,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_REREAD_MS,
            yield_on_timeout=True,
            recursive=False,
        ):
            yield self._read()

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as err:
            raise ConfigError(f"{self._path}: cannot be read: {err.strerror}") from err
