"""What one instance keeps on disk: its name, its identity, its KEM key, and what it has seen.

Registered keys are never overwritten, so keys that are too old are not replaced under their name:
the instance becomes another one, with a new name (ADR-0024). The files are replaced one by one, the
name first and the age last: nothing was ever registered under a new name, and what a crash leaves
is still too old. The former ones are kept in ``former/`` until the new ones are registered.
"""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
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
_AGE_FILE: Final = "made_at"
_FORMER: Final = "former"
_NEVER: Final = timedelta(0)


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
class KeyAge:
    """How old keys may become, by a clock that is not trusted to be right."""

    now: datetime
    """Aware, UTC."""
    most: timedelta | None = None
    """None or 0: any age."""

    def is_exceeded(self, made_at: datetime) -> bool:
        """Say whether keys that were made then are too old."""
        return self.most is not None and self.most > _NEVER and self.now - made_at > self.most


@dataclass(frozen=True, slots=True)
class InstanceState:
    """The name this instance goes by, and its keys."""

    instance: InstanceName
    signer: Signer
    """What it signs with."""
    kem: KemKey
    """What its bundles at rest are sealed to: ML-KEM-1024."""
    newest_bundle: KeptBundleVersion
    """Version of the newest bundle it has used; of the deployment, whatever keys it was sealed to,
    so it outlives them."""
    made_at: datetime
    """When its keys were made, or first seen by a release that asks."""
    directory: Path
    is_overdue: bool = False
    """Its keys are too old and stay all the same, because its name is configured."""
    is_new: bool = False
    """It has just taken the place of another instance, whose keys were too old."""

    async def forget_former(self) -> None:
        """Remove the keys of the instance before this one; call it when the new ones are in use.

        Raises:
            ConfigError: they cannot be removed.
        """
        former = self.directory / _FORMER
        try:
            await asyncio.to_thread(_remove_tree, former)
        except OSError as err:
            raise ConfigError(f"cannot remove {former}: {err}") from err


def open_instance_state(
    directory: Path, service: ServiceName, configured: str, entropy: Entropy, age: KeyAge
) -> InstanceState:
    """Read the state in ``directory``, making what is missing and replacing what is too old.

    Args:
        directory: mode 0700 from now on.
        service: whose instance this is.
        configured: its name, if it has one from outside; then its keys stay, however old.
        entropy: where new keys come from.
        age: how old keys may be.

    Raises:
        ConfigError: the directory cannot be used, or holds something damaged.
    """
    try:
        make_private_directory(directory)
        made_at = _made_at(directory / _AGE_FILE, age.now)
        is_exceeded = age.is_exceeded(made_at)
        is_replaced = is_exceeded and not configured
        if is_replaced:
            _replace(directory, service, entropy)
            made_at = age.now
            # The last of them: until it is there, all of this is done again.
            write_private(directory / _AGE_FILE, made_at.isoformat().encode())
        return InstanceState(
            _name(directory, service, configured, entropy),
            Signer.from_seed(
                Algorithm.ML_DSA_87, _seed(directory / _SEED_FILE, _SEED_SIZE, entropy)
            ),
            KemKey.from_seed(_seed(directory / _KEM_FILE, KEM_SEED_SIZE, entropy)),
            KeptBundleVersion(directory / _BUNDLE_FILE),
            made_at,
            directory,
            is_overdue=is_exceeded and not is_replaced,
            is_new=is_replaced,
        )
    except OSError as err:
        raise ConfigError(f"cannot use the state directory {directory}: {err}") from err
    except ValueError as err:
        raise ConfigError(f"{directory} holds a damaged state: {err}") from err


def _made_at(path: Path, now: datetime) -> datetime:
    """Return when the keys were made; never later than ``now``, or they would not age."""
    made_at = datetime.fromisoformat(_kept(path, lambda: now.isoformat().encode()).decode())
    if made_at.tzinfo is None:
        raise ValueError(f"{path.name} has no time zone")
    if made_at > now:
        write_private(path, now.isoformat().encode())
        return now
    return made_at


def _replace(directory: Path, service: ServiceName, entropy: Entropy) -> None:
    former = make_private_directory(directory / _FORMER)
    for name in (_NAME_FILE, _SEED_FILE, _KEM_FILE):
        # What is in there already was put aside by an attempt that did not come to its end.
        if (directory / name).exists() and not (former / name).exists():
            write_private(former / name, (directory / name).read_bytes())
    write_private(directory / _NAME_FILE, _fresh_name(service, entropy))
    write_private(directory / _SEED_FILE, entropy(_SEED_SIZE))
    write_private(directory / _KEM_FILE, entropy(KEM_SEED_SIZE))


def _name(directory: Path, service: ServiceName, configured: str, entropy: Entropy) -> InstanceName:
    kept = configured or (
        _kept(directory / _NAME_FILE, lambda: _fresh_name(service, entropy)).decode().strip()
    )
    return instance_name(kept)


def _fresh_name(service: ServiceName, entropy: Entropy) -> bytes:
    return f"{service}-{entropy(4).hex()}".encode()


def _seed(path: Path, size: int, entropy: Entropy) -> SecretBytes:
    return SecretBytes(_kept(path, lambda: entropy(size)))


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        write_private(path, make())
    return path.read_bytes()


def _remove_tree(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
