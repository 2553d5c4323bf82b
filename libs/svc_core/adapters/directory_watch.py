"""Noticing that something in a directory may have changed.

Files are replaced and not written to, and what is mounted from a Kubernetes object changes by the
symlink ``..data`` in it; so it is the directory that is watched.
"""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from watchfiles import awatch

from svc_core.errors import ConfigError

_DEBOUNCE_MS: Final = 50
_STEP_MS: Final = 10
_REREAD_MS: Final = 2000


async def looks_due(directory: Path) -> AsyncGenerator[None, None]:
    """Yield whenever it is time to look: now, at every change, and every two seconds.

    The last because a watch can be lost in silence.

    Raises:
        ConfigError: the directory cannot be watched.
    """
    yield
    try:
        async for _ in awatch(
            directory,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_REREAD_MS,
            yield_on_timeout=True,
            recursive=False,
        ):
            yield
    except OSError as err:
        raise ConfigError(f"{directory}: cannot be watched: {err}") from err
