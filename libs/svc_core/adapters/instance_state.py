"""What one instance keeps on disk: its name and its identity key, made once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from svc_core.adapters.files import make_private_directory, write_private
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.identity import InstanceName, ServiceName, instance_name
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError
from svc_core.ports.time import Entropy

_SEED_SIZE: Final = 32
_SEED_FILE: Final = "identity.seed"
_NAME_FILE: Final = "instance"


@dataclass(frozen=True, slots=True)
class InstanceState:
    """The name this instance goes by and the key it signs with."""

    instance: InstanceName
    signer: Signer


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
        fresh_name = f"{service}-{entropy(4).hex()}".encode()
        name = configured or _kept(directory / _NAME_FILE, lambda: fresh_name).decode().strip()
        return InstanceState(
            instance_name(name), Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(seed))
        )
    except OSError as err:
        raise ConfigError(f"cannot use the state directory {directory}: {err}") from err
    except ValueError as err:
        raise ConfigError(f"{directory} holds a damaged state: {err}") from err


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        write_private(path, make())
    return path.read_bytes()
