"""The secret that responses are derived from, made once and kept in the state directory."""

from pathlib import Path
from typing import Final

from services.authcontroller.domain.decision import SEED_SIZE
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError
from svc_core.ports.time import Entropy

_FILE: Final = "responses.seed"


def open_response_seed(directory: Path, entropy: Entropy) -> SecretBytes:
    """Return the seed in ``directory``, making it (mode 0600) at the first start.

    Raises:
        ConfigError: the directory cannot be used, or holds a damaged seed.
    """
    path = directory / _FILE
    try:
        make_private_directory(directory)
        if not path.exists():
            write_private(path, entropy(SEED_SIZE))
        seed = path.read_bytes()
    except OSError as err:
        raise ConfigError(f"cannot use the state directory {directory}: {err}") from err
    if len(seed) != SEED_SIZE:
        raise ConfigError(f"{path} does not hold {SEED_SIZE} bytes; remove it and start again")
    return SecretBytes(seed)
