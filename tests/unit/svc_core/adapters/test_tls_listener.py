"""Why a handshake failed is read from OpenSSL's codes, whatever its text says."""

import ssl

import pytest

from svc_core.adapters.tls_listener import refusal_of
from svc_core.domain.handshakes import Refusal


def verify_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(verify_error(19), Refusal.UNKNOWN_CA, id="self-signed in the chain"),
        pytest.param(verify_error(20), Refusal.UNKNOWN_CA, id="no local issuer"),
        pytest.param(verify_error(7), Refusal.UNKNOWN_CA, id="a signature that is wrong"),
        pytest.param(verify_error(9), Refusal.NOT_YET_VALID, id="not yet valid"),
        pytest.param(verify_error(10), Refusal.EXPIRED, id="expired"),
        pytest.param(verify_error(26), Refusal.WRONG_PURPOSE, id="wrong purpose"),
        pytest.param(verify_error(23), Refusal.OTHER, id="anything else about a certificate"),
        pytest.param(
            ssl_error("PEER_DID_NOT_RETURN_A_CERTIFICATE"), Refusal.NO_CERTIFICATE, id="none"
        ),
        pytest.param(ssl_error("UNSUPPORTED_PROTOCOL"), Refusal.PROTOCOL_VERSION, id="TLS 1.2"),
        pytest.param(ssl_error("HTTP_REQUEST"), Refusal.PLAIN_TEXT, id="HTTP"),
        pytest.param(ssl_error("WRONG_VERSION_NUMBER"), Refusal.PLAIN_TEXT, id="no TLS"),
        pytest.param(ssl_error("TLSV1_ALERT_UNKNOWN_CA"), Refusal.OTHER, id="they refused us"),
        pytest.param(ConnectionAbortedError(), Refusal.TIMEOUT, id="time-out"),
        pytest.param(ConnectionResetError(), None, id="went away"),
        pytest.param(BrokenPipeError(), None, id="went away meanwhile"),
    ],
)
def test_a_handshake_failed_for_one_reason(error: OSError, reason: Refusal | None) -> None:
    assert refusal_of(error) is reason
