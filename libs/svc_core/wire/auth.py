"""Payloads of the two data topics: `AuthenticationRequest` and `AuthenticationResponse`."""

from typing import Final

from svc_core.domain.messages import AuthenticationRequest, AuthenticationResponse
from svc_core.domain.secrets import SecretBytes
from svc_core.wire.records import RecordCodec

LIMIT: Final = 16 * 1024
"""Most bytes of one encoded request or response."""
REQUEST_TYPE: Final = "authRequest"
RESPONSE_TYPE: Final = "authResponse"
"""The message types that carry them."""

_REQUEST: Final = RecordCodec.of("authentication_request", tag=b"I1", limit=LIMIT)
_RESPONSE: Final = RecordCodec.of("authentication_response", tag=b"O1", limit=LIMIT)


def encode_request(request: AuthenticationRequest) -> bytes:
    """Return the bytes of ``request``.

    Raises:
        ValueError: they would be more than 16 KiB.
    """
    return _REQUEST.encode(
        {
            "userId": request.user_id,
            "pwdHash": request.password_hash,
            "otp": request.otp,
        }
    )


def decode_request(raw: bytes) -> AuthenticationRequest:
    """Return the request in ``raw``, or raise `MalformedMessageError`."""
    record = _REQUEST.decode(raw)
    return AuthenticationRequest(record["userId"], record["pwdHash"], record["otp"])


def encode_response(response: AuthenticationResponse) -> bytes:
    """Return the bytes of ``response``; secret, to be sealed.

    Raises:
        ValueError: they would be more than 16 KiB.
    """
    return _RESPONSE.encode(
        {
            "Oid": response.oid,
            "UserToken": response.user_token,
            "PasswordHash": response.password_hash,
            "IdentityToken": response.identity_token,
            "IdentitySymmKey": response.identity_key.reveal(),
            "IdentityIVSpec": response.identity_iv,
            "AuthorizationToken": response.authorization_token,
            "AuthorizationSymmKey": response.authorization_key.reveal(),
            "AuthorizationIVSpec": response.authorization_iv,
            "AccountStatus": response.account_status,
            "MemberLevelCode": response.member_level,
        }
    )


def decode_response(raw: bytes) -> AuthenticationResponse:
    """Return the response in ``raw``, or raise `MalformedMessageError`."""
    record = _RESPONSE.decode(raw)
    return AuthenticationResponse(
        oid=record["Oid"],
        user_token=record["UserToken"],
        password_hash=record["PasswordHash"],
        identity_token=record["IdentityToken"],
        identity_key=SecretBytes(record["IdentitySymmKey"]),
        identity_iv=record["IdentityIVSpec"],
        authorization_token=record["AuthorizationToken"],
        authorization_key=SecretBytes(record["AuthorizationSymmKey"]),
        authorization_iv=record["AuthorizationIVSpec"],
        account_status=record["AccountStatus"],
        member_level=record["MemberLevelCode"],
    )
