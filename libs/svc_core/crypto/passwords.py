"""Argon2id (RFC 9106) password hashes as ``base64(salt):base64(hash)``.

64 MiB, 3 iterations, 1 lane, 16-byte salt, 32-byte hash. One hash takes about 0.1 s of a core and
64 MiB, so callers run it in a worker thread.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

_SALT_SIZE: Final = 16
_HASH_SIZE: Final = 32
_ITERATIONS: Final = 3
_LANES: Final = 1
_MEMORY_KIB: Final = 64 * 1024


def demo_password(user_id: str) -> SecretBytes:
    """Return the password of a made-up user of the load generator: ``secret<user id>``."""
    return SecretBytes(b"secret" + user_id.encode())


def hash_password(password: SecretBytes, *, entropy: Callable[[int], bytes]) -> str:
    """Hash ``password`` under a fresh salt."""
    salt = entropy(_SALT_SIZE)
    return f"{_text(salt)}:{_text(_argon(salt).derive(password.reveal()))}"


def verify_password(text: str, password: SecretBytes) -> None:
    """Return if ``text`` is a hash of ``password``.

    Raises:
        VerificationError: it is not, or is no hash of ours at all.
    """
    try:
        salt, expected = (b64decode(part, validate=True) for part in text.split(":"))
        if (len(salt), len(expected)) != (_SALT_SIZE, _HASH_SIZE):
            raise VerificationError
        _argon(salt).verify(password.reveal(), expected)
    except (ValueError, InvalidKey):
        raise VerificationError from None


def _argon(salt: bytes) -> Argon2id:
    return Argon2id(
        salt=salt,
        length=_HASH_SIZE,
        iterations=_ITERATIONS,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    )


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
