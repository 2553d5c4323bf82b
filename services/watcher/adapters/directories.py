"""`FileTarget` as a versioned directory behind a symlink."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from svc_core.adapters.files import publish_directory, read_directory


class DirectoryTarget:
    """Files under ``link``, replaced together by one rename."""

    def __init__(self, link: Path) -> None:
        self._link = link

    async def publish(self, files: Mapping[str, bytes]) -> None:
        """Replace the set."""
        await asyncio.to_thread(publish_directory, self._link, files)

    async def fetch(self, names: Sequence[str]) -> Mapping[str, bytes] | None:
        """Return the named files as they are published now, or None when one is missing."""
        return await asyncio.to_thread(read_directory, self._link, tuple(names))
