"""The made-up users who ask, with password hashes made once."""

from collections.abc import Awaitable, Callable
from typing import Final

from svc_core.domain.messages import AuthenticationRequest
from svc_core.ports.time import Entropy

HashPassword = Callable[[str], Awaitable[str]]
"""Return the password hash of a user; takes 0.1 s of a worker thread."""

_OTP_VALUES: Final = 1_000_000
_ONE_WITHOUT_OTP_IN: Final = 5


class Users:
    """Users ``user0`` … in turn; usable as soon as the first one has a hash."""

    def __init__(self, count: int, hash_password: HashPassword, entropy: Entropy) -> None:
        self._count = count
        self._hash_password = hash_password
        self._entropy = entropy
        self._hashes: list[str] = []

    async def prepare(self, *, up_to: int | None = None) -> None:
        """Make the hashes that are missing, of the first ``up_to`` users or of all."""
        while len(self._hashes) < (self._count if up_to is None else up_to):
            self._hashes.append(await self._hash_password(f"user{len(self._hashes)}"))

    def request(self, index: int) -> AuthenticationRequest:
        """Return request ``index``: four of five carry a one-time password of six digits.

        Raises:
            ZeroDivisionError: nobody has been prepared.
        """
        user = index % len(self._hashes)
        draw = int.from_bytes(self._entropy(4))
        has_otp = draw % _ONE_WITHOUT_OTP_IN != 0
        otp = f"{draw // _ONE_WITHOUT_OTP_IN % _OTP_VALUES:06d}" if has_otp else None
        return AuthenticationRequest(f"user{user}", self._hashes[user], otp)
