"""Argon2id (RFC 9106) password hashes as ``base64(salt):base64(hash)``.

64 MiB, 3 iterations, 1 lane, 16-byte salt, 32-byte hash. One hash takes about 0.1 s of a core and
64 MiB, so callers run it in a worker thread.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

from svc_core.crypto.argon2 import Argon2Cost, derive_argon2id
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

_SALT_SIZE: Final = 16
_HASH_SIZE: Final = 32
_COST: Final = Argon2Cost(memory_kib=64 * 1024, iterations=3, lanes=1)


def demo_password(user_id: str) -> SecretBytes:
    """Return the password of a made-up user of the load generator: ``secret<user id>``."""
    return SecretBytes(b"secret" + user_id.encode())


def hash_password(password: SecretBytes, *, entropy: Callable[[int], bytes]) -> str:
    """Hash ``password`` under a fresh salt."""
    salt = entropy(_SALT_SIZE)
    return f"{_text(salt)}:{_text(_derive(password, salt).reveal())}"


def verify_password(text: str, password: SecretBytes) -> None:
    """Return if ``text`` is a hash of ``password``.

    Raises:
        VerificationError: it is not, or is no hash of ours at all.
    """
    salt, expected = _parts(text)
    if not hmac.compare_digest(_derive(password, salt).reveal(), expected):
        raise VerificationError


def _parts(text: str) -> tuple[bytes, bytes]:
    try:
        salt, expected = (b64decode(part, validate=True) for part in text.split(":"))
    except ValueError:
        raise VerificationError from None
    if (len(salt), len(expected)) != (_SALT_SIZE, _HASH_SIZE):
        raise VerificationError
    return salt, expected


def _derive(password: SecretBytes, salt: bytes) -> SecretBytes:
    return derive_argon2id(password, salt=salt, cost=_COST, size=_HASH_SIZE)


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
