"""What one instance keeps on disk: its name, its identity, its KEM key, and what it has seen."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from svc_core.adapters.files import make_private_directory, write_private
from svc_core.crypto.kem import SEED_SIZE as KEM_SEED_SIZE
from svc_core.crypto.kem import KemKey
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.identity import InstanceName, ServiceName, instance_name
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError
from svc_core.ports.time import Entropy

_SEED_SIZE: Final = 32
_SEED_FILE: Final = "identity.seed"
_KEM_FILE: Final = "kem.seed"
_NAME_FILE: Final = "instance"
_BUNDLE_FILE: Final = "bundle.version"


class KeptBundleVersion:
    """A `BundleMemory` in one private file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self) -> int:
        """Return the version in the file; 0 when there is none.

        Raises:
            ConfigError: it cannot be read, or holds something else.
        """
        try:
            text = await asyncio.to_thread(self._path.read_text, encoding="ascii")
        except FileNotFoundError:
            return 0
        except (OSError, UnicodeDecodeError) as err:
            raise ConfigError(f"cannot read {self._path}: {err}") from err
        if not text.isdecimal():
            raise ConfigError(f"{self._path} holds a damaged state: not a version")
        return int(text)

    async def store(self, version: int) -> None:
        """Replace the file.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            await asyncio.to_thread(write_private, self._path, str(version).encode())
        except OSError as err:
            raise ConfigError(f"cannot write {self._path}: {err}") from err


@dataclass(frozen=True, slots=True)
class InstanceState:
    """The name this instance goes by, and its keys."""

    instance: InstanceName
    signer: Signer
    """What it signs with."""
    kem: KemKey
    """What its bundles at rest are sealed to: ML-KEM-1024."""
    newest_bundle: KeptBundleVersion
    """Version of the newest bundle it has used."""


def open_instance_state(
    directory: Path, service: ServiceName, configured: str, entropy: Entropy
) -> InstanceState:
    """Read the state in ``directory``, making what is missing.

    Raises:
        ConfigError: the directory cannot be used, or holds something damaged.
    """
    try:
        make_private_directory(directory)
        seed = _kept(directory / _SEED_FILE, lambda: entropy(_SEED_SIZE))
        kem_seed = _kept(directory / _KEM_FILE, lambda: entropy(KEM_SEED_SIZE))
        fresh_name = f"{service}-{entropy(4).hex()}".encode()
        name = configured or _kept(directory / _NAME_FILE, lambda: fresh_name).decode().strip()
        return InstanceState(
            instance_name(name),
            Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(seed)),
            KemKey.from_seed(SecretBytes(kem_seed)),
            KeptBundleVersion(directory / _BUNDLE_FILE),
        )
    except OSError as err:
        raise ConfigError(f"cannot use the state directory {directory}: {err}") from err
    except ValueError as err:
        raise ConfigError(f"{directory} holds a damaged state: {err}") from err


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        write_private(path, make())
    return path.read_bytes()
