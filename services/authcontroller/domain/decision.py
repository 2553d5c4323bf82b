"""Who is let in, and what the answer to one request contains.

The answer depends on the request, its message id, its time and one secret of this service only:
a request that is decided twice gets the same tokens and keys, so a repeat harms nobody, while
nobody without the secret can compute them.
"""

import hmac
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from svc_core.domain.journal_records import unix_ns
from svc_core.domain.messages import AuthenticationRequest, AuthenticationResponse
from svc_core.domain.secrets import SecretBytes

SEED_SIZE: Final = 32
"""Bytes of the secret that responses are derived from."""
_UUID_SIZE: Final = 16
_IV_SIZE: Final = 16
_NS_PER_MS: Final = 1_000_000
_NO_KEY: Final = b""


class Status(StrEnum):
    """The decision, as the response's account status."""

    ACTIVE = "ACTIVE"
    DENIED_NO_USER_ID = "DENIED_NO_USER_ID"
    DENIED_NO_PASSWORD = "DENIED_NO_PASSWORD"  # noqa: S105 (the name of a decision)
    DENIED_INVALID_USER = "DENIED_INVALID_USER"
    DENIED_OTP_EXPIRED = "DENIED_OTP_EXPIRED"
    DENIED_INVALID_OTP = "DENIED_INVALID_OTP"


class Level(StrEnum):
    """The member level of the response."""

    STANDARD = "STANDARD"
    NONE = "NONE"


def judge(request: AuthenticationRequest) -> Status:
    """Apply the rules in their order; the first that matches decides.

    The password hash is made by the asker under its own salt, so there is nothing to compare it
    with: only its absence is a reason.
    """
    otp = request.otp or ""
    rules = (
        (not request.user_id, Status.DENIED_NO_USER_ID),
        (not request.password_hash, Status.DENIED_NO_PASSWORD),
        (request.user_id.startswith("invalid_"), Status.DENIED_INVALID_USER),
        (otp.startswith("expired_"), Status.DENIED_OTP_EXPIRED),
        (otp.startswith("invalid_"), Status.DENIED_INVALID_OTP),
    )
    return next((status for applies, status in rules if applies), Status.ACTIVE)


def decide(
    request: AuthenticationRequest, *, message_id: str, asked_at: datetime, seed: SecretBytes
) -> AuthenticationResponse:
    """Return the one response to a request.

    Args:
        request: what is asked.
        message_id: id of the message that carried it.
        asked_at: when that message was made.
        seed: 32 secret bytes of this service, the same over restarts.

    Returns:
        When approved two tokens, two 32-byte keys and two 16-byte IVs; when denied none of them.
    """
    status = judge(request)

    def derive(label: str) -> bytes:
        context = f"securetransport/response/v1\x00{label}\x00{message_id}".encode()
        return hmac.digest(seed.reveal(), context, "sha256")

    approved = status is Status.ACTIVE
    return AuthenticationResponse(
        oid=_uuid(derive("oid")),
        user_token=f"token_{request.user_id}_{unix_ns(asked_at) // _NS_PER_MS}",
        password_hash=request.password_hash,
        identity_token=f"identity_{_uuid(derive('identity'))}" if approved else "",
        identity_key=SecretBytes(derive("identity key") if approved else _NO_KEY),
        identity_iv=derive("identity iv")[:_IV_SIZE] if approved else b"",
        authorization_token=f"auth_{_uuid(derive('authorization'))}" if approved else "",
        authorization_key=SecretBytes(derive("authorization key") if approved else _NO_KEY),
        authorization_iv=derive("authorization iv")[:_IV_SIZE] if approved else b"",
        account_status=status,
        member_level=Level.STANDARD if approved else Level.NONE,
    )


def _uuid(derived: bytes) -> str:
    return str(UUID(bytes=derived[:_UUID_SIZE], version=4))
