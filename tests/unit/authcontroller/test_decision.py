"""Who is let in, and that a repeat gets the same answer."""

from datetime import UTC, datetime

import pytest

from services.authcontroller.domain.decision import Status, decide, judge
from svc_core.domain.messages import AuthenticationRequest, AuthenticationResponse
from svc_core.domain.secrets import SecretBytes
from svc_core.wire import auth

ASKED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
SEED = SecretBytes(b"s" * 32)


def response(
    request: AuthenticationRequest, *, message_id: str = "run-boot-1", seed: SecretBytes = SEED
) -> AuthenticationResponse:
    return decide(request, message_id=message_id, asked_at=ASKED_AT, seed=seed)


@pytest.mark.parametrize(
    ("user", "password_hash", "otp", "status"),
    [
        pytest.param("user1", "s:h", "123456", Status.ACTIVE, id="everything given"),
        pytest.param("user1", "s:h", None, Status.ACTIVE, id="no one-time password"),
        pytest.param("", "", "expired_1", Status.DENIED_NO_USER_ID, id="no user comes first"),
        pytest.param("invalid_x", "", None, Status.DENIED_NO_PASSWORD, id="then no password"),
        pytest.param("invalid_x", "s:h", "expired_1", Status.DENIED_INVALID_USER, id="then user"),
        pytest.param("user1", "s:h", "expired_1", Status.DENIED_OTP_EXPIRED, id="expired"),
        pytest.param("user1", "s:h", "invalid_1", Status.DENIED_INVALID_OTP, id="invalid"),
        pytest.param("xinvalid_", "s:h", "1invalid_", Status.ACTIVE, id="only prefixes count"),
    ],
)
def test_the_first_rule_that_matches_decides(
    user: str, password_hash: str, otp: str | None, status: Status
) -> None:
    assert judge(AuthenticationRequest(user, password_hash, otp)) is status


def test_an_approval_carries_tokens_and_keys_of_their_sizes() -> None:
    answer = response(AuthenticationRequest("user1", "s:h", None))

    assert (answer.account_status, answer.member_level) == ("ACTIVE", "STANDARD")
    assert answer.user_token == "token_user1_1767268800000"
    assert (len(answer.identity_key), len(answer.authorization_key)) == (32, 32)
    assert (len(answer.identity_iv), len(answer.authorization_iv)) == (16, 16)
    assert answer.identity_key.reveal() != answer.authorization_key.reveal()


def test_a_denial_carries_no_key_and_can_be_encoded() -> None:
    answer = response(AuthenticationRequest("user1", "", None))

    decoded = auth.decode_response(auth.encode_response(answer))

    assert (decoded.account_status, decoded.member_level) == ("DENIED_NO_PASSWORD", "NONE")
    assert (len(decoded.identity_key), decoded.identity_token, decoded.identity_iv) == (0, "", b"")


def test_a_repeat_gets_the_very_same_answer() -> None:
    request = AuthenticationRequest("user1", "s:h", "123456")

    assert auth.encode_response(response(request)) == auth.encode_response(response(request))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"message_id": "run-boot-2"}, id="another message"),
        pytest.param({"seed": SecretBytes(b"t" * 32)}, id="another service's secret"),
    ],
)
def test_nobody_else_gets_the_same_keys(other: dict[str, object]) -> None:
    request = AuthenticationRequest("user1", "s:h", None)

    mine, theirs = response(request), response(request, **other)  # type: ignore[arg-type]

    assert mine.identity_key.reveal() != theirs.identity_key.reveal()
    assert mine.oid != theirs.oid
