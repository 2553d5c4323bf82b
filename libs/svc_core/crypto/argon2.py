"""Argon2id (RFC 9106) with explicit costs."""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from svc_core.domain.secrets import SecretBytes

MIN_SALT_SIZE: Final = 8
_KIB_PER_LANE: Final = 8
_LANES: Final = range(1, 1 << 24)
_SIZES: Final = range(4, 1 << 32)
_COUNTS: Final = range(1, 1 << 32)


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one hash takes; RFC 9106 section 4 recommends 64 MiB, 3 iterations and 4 lanes."""

    memory_kib: int
    """KiB of memory, at least 8 for each lane."""
    iterations: int
    """Passes over the memory, 1 or more."""
    lanes: int
    """Independent parts of the memory, 1 to 16,777,215; a change of it changes the hash."""

    def __post_init__(self) -> None:
        if self.lanes not in _LANES or self.iterations not in _COUNTS:
            raise ValueError("Argon2id needs at least one lane and one iteration")
        if self.memory_kib not in _COUNTS or self.memory_kib < _KIB_PER_LANE * self.lanes:
            raise ValueError(f"Argon2id needs {_KIB_PER_LANE} KiB or more for each lane")


def derive_argon2id(
    password: SecretBytes,
    *,
    salt: bytes,
    cost: Argon2Cost,
    size: int = 32,
    pepper: SecretBytes | None = None,
    associated: bytes = b"",
) -> SecretBytes:
    """Return the Argon2id tag of ``password``.

    Args:
        password: any number of bytes, also none.
        salt: 8 bytes or more, 16 fresh ones by default.
        cost: the hash takes as long as this says; run it in a worker thread.
        size: 4 bytes or more.
        pepper: the optional secret value K.
        associated: the optional associated data X.

    Raises:
        ValueError: a size out of range.

    Source:
        RFC 9106, version 0x13.
    """
    if len(salt) < MIN_SALT_SIZE:
        raise ValueError(f"a salt has {MIN_SALT_SIZE} bytes or more, not {len(salt)}")
    if size not in _SIZES:
        raise ValueError(f"Argon2id derives {_SIZES.start} bytes or more, not {size}")
    argon = Argon2id(
        salt=salt,
        length=size,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
        ad=associated or None,
        secret=pepper.reveal() if pepper else None,
    )
    return SecretBytes(argon.derive(password.reveal()))
