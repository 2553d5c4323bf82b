"""`MountedCertificates` as a mounted Secret: ``tls.crt`` and ``tls.key`` behind ``..data``.

The kubelet writes a new directory and renames the symlink ``..data`` over; the names in the mount
lead through it. It is resolved once, and both files are read from there: reading them by their own
names could meet two versions. A directory without ``..data`` is read twice and must stand still.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from svc_core.adapters.directory_watch import looks_due
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import TlsMaterialError
from svc_core.ports.mounted import MountedPair

log = structlog.get_logger()

_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"
_CURRENT: Final = "..data"
_LARGEST: Final = 256 * 1024


class MountedFiles:
    """One mounted directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def name(self) -> str:
        """The directory."""
        return str(self._directory)

    async def read(self) -> MountedPair | None:
        """Return the current version; None while there is none, or while it is being written.

        Raises:
            TlsMaterialError: there is one and it cannot be read, or is no text.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> MountedPair | None:
        try:
            current = self._version()
            certificate, key = _bytes(current / _CERTIFICATE), _bytes(current / _KEY)
            if self._version() != current or _bytes(current / _CERTIFICATE) != certificate:
                return None
        except FileNotFoundError:
            return None
        except OSError as err:
            raise TlsMaterialError(f"{self._directory}: cannot be read: {err.strerror}") from err
        try:
            return MountedPair(certificate.decode("ascii"), SecretBytes(key))
        except UnicodeDecodeError as err:
            raise TlsMaterialError(f"{self._directory}/{_CERTIFICATE} is no PEM") from err

    def _version(self) -> Path:
        link = self._directory / _CURRENT
        return link.resolve(strict=True) if link.is_symlink() else self._directory


class MountedFilesWatch:
    """The loop that says when a mounted certificate has become another one.

    The content is compared: a rewrite of the same bytes is no change.
    """

    name: Final = "mounted_certificate"

    def __init__(self, directory: Path, changed: Callable[[], None]) -> None:
        """Watch ``directory``.

        Args:
            directory: must be there.
            changed: called whenever what is in it is whole and new, not for what is there first.
        """
        self._directory = directory
        self._files = MountedFiles(directory)
        self._changed = changed
        self._seen = b""

    async def run(self) -> None:
        """Watch for ever.

        Raises:
            ConfigError: the directory cannot be watched.
        """
        self._seen = await self._digest()
        async for _ in looks_due(self._directory):
            await self._look()

    async def _look(self) -> None:
        digest = await self._digest()
        if digest and digest != self._seen:
            self._seen = digest
            log.info("mounted.changed", directory=self._files.name)
            self._changed()

    async def _digest(self) -> bytes:
        """Return what tells two versions apart; empty while there is none to be used."""
        try:
            pair = await self._files.read()
        except TlsMaterialError:
            return b""
        if pair is None:
            return b""
        return hashlib.sha256(pair.chain_pem.encode() + b"\0" + pair.key_pem.reveal()).digest()


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)
