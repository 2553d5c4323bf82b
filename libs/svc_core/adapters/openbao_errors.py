"""What hvac raises, in this project's terms; in particular whether OpenBao can have acted."""

from collections.abc import Callable
from typing import Final, TypeVar

import hvac
import requests
from hvac import exceptions as hvac_errors
from urllib3.exceptions import MaxRetryError, NewConnectionError

from svc_core.errors import (
    AccessDeniedError,
    DependencyError,
    NotFoundError,
    RequestRefusedError,
    SecretStoreError,
    StaleWriteError,
    SvcError,
)

T = TypeVar("T")
Call = Callable[[hvac.Client], T]

_MISSING: Final = ("unable to find", "failed to find accessor")
_NOT_BEGUN: Final = (
    hvac_errors.VaultDown,  # sealed, or without an active node
    hvac_errors.VaultNotInitialized,
    hvac_errors.RateLimitExceeded,
)
_REASON_LIMIT: Final = 300


class NotExecutedError(SecretStoreError):
    """The request never reached OpenBao, or it refused to begin: any request may be repeated."""


class LoginUnansweredError(SecretStoreError):
    """A login whose answer was lost; a token may exist that nobody holds."""


class CredentialRefusedError(AccessDeniedError):
    """OpenBao refuses the secret-id on disk; a new one there is used without a restart."""

    code = "access.credential_refused"
    advice = (
        "the service was down longer than `secret_id_ttl`, or its secret-id was destroyed: "
        "have the operator write a new secret-id to that file"
    )


class CredentialNotKeptError(DependencyError):
    """The new secret-id could not be written to disk; the former stays there and valid."""

    code = "credential.not_kept"
    advice = "make room on the disk and the directory writable for the service"


def translated(work: Call[T], client: hvac.Client) -> T:
    """Run ``work(client)`` and raise what goes wrong as one of this project's errors."""
    try:
        return work(client)
    except hvac_errors.VaultError as err:
        raise _meaning_of(err) from err
    except requests.RequestException as err:
        kind = NotExecutedError if _never_connected(err) else SecretStoreError
        raise kind(f"OpenBao is out of reach: {type(err).__name__}") from err


def repeatable(*, idempotent: bool) -> Callable[[Exception], bool]:
    """Return which failures of a request may be answered by sending it again.

    Args:
        idempotent: whether doing it twice is the same as doing it once.
    """

    def may_repeat(err: Exception) -> bool:
        if isinstance(err, NotExecutedError):
            return True
        is_lost = isinstance(err, SecretStoreError) and not isinstance(err, LoginUnansweredError)
        return idempotent and is_lost

    return may_repeat


def _meaning_of(err: hvac_errors.VaultError) -> SvcError:
    reason = _reason(err)
    if isinstance(err, hvac_errors.Forbidden | hvac_errors.Unauthorized):
        return AccessDeniedError("OpenBao: permission denied")
    if isinstance(err, hvac_errors.InvalidPath):
        return NotFoundError(f"OpenBao has nothing at {err.url or 'that path'}")
    if isinstance(err, hvac_errors.InvalidRequest):
        if "check-and-set" in reason:
            return StaleWriteError("another writer was first")
        return RequestRefusedError(f"OpenBao refused: {reason}")
    if isinstance(err, _NOT_BEGUN):
        return NotExecutedError(f"OpenBao: {reason}")
    is_missing = any(text in reason for text in _MISSING)
    return (NotFoundError if is_missing else SecretStoreError)(f"OpenBao: {reason}")


def _never_connected(err: requests.RequestException) -> bool:
    if isinstance(err, requests.ConnectTimeout):
        return True
    cause = err.args[0] if err.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def _reason(err: hvac_errors.VaultError) -> str:
    errors = err.errors or [type(err).__name__]
    return "; ".join(str(e) for e in errors)[:_REASON_LIMIT]
