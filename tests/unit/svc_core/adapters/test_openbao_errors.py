"""What may be sent again: whatever OpenBao certainly did not begin, and what can be done twice."""

import hvac
import pytest
import requests
from hvac import exceptions as hvac_errors
from urllib3 import HTTPSConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from svc_core.adapters.openbao_errors import (
    CredentialRefusedError,
    LoginUnansweredError,
    NotExecutedError,
    repeatable,
    translated,
)
from svc_core.errors import (
    AccessDeniedError,
    NotFoundError,
    RequestRefusedError,
    SecretStoreError,
    StaleWriteError,
    SvcError,
)

REFUSED = requests.ConnectionError(
    MaxRetryError(
        HTTPSConnectionPool("localhost"),
        "/",
        NewConnectionError(HTTPSConnectionPool("localhost"), "refused"),  # type: ignore[arg-type]
    )
)


@pytest.mark.parametrize(
    ("error", "once_only", "idempotent"),
    [
        pytest.param(NotExecutedError("sealed"), True, True, id="it was not begun"),
        pytest.param(SecretStoreError("no answer"), False, True, id="the answer was lost"),
        pytest.param(LoginUnansweredError("no answer"), False, False, id="of a login"),
        pytest.param(CredentialRefusedError("refused"), False, False, id="a refused secret-id"),
        pytest.param(AccessDeniedError("denied"), False, False, id="a refusal"),
        pytest.param(RequestRefusedError("bad"), False, False, id="a bad request"),
    ],
)
def test_what_is_sent_again(error: SvcError, once_only: bool, idempotent: bool) -> None:
    assert repeatable(idempotent=False)(error) is once_only
    assert repeatable(idempotent=True)(error) is idempotent


@pytest.mark.parametrize(
    ("raised", "meaning"),
    [
        (hvac_errors.Forbidden("no"), AccessDeniedError),
        (hvac_errors.Unauthorized("no"), AccessDeniedError),
        (hvac_errors.InvalidPath("none"), NotFoundError),
        (hvac_errors.InvalidRequest("bad"), RequestRefusedError),
        (
            hvac_errors.InvalidRequest(errors=["check-and-set parameter did not match"]),
            StaleWriteError,
        ),
        (hvac_errors.VaultDown("sealed"), NotExecutedError),
        (hvac_errors.RateLimitExceeded("slow down"), NotExecutedError),
        (hvac_errors.InternalServerError("boom"), SecretStoreError),
        (
            hvac_errors.InternalServerError(errors=["unable to find PKI issuer for reference"]),
            NotFoundError,
        ),
        (
            hvac_errors.InternalServerError(errors=["failed to find accessor entry"]),
            NotFoundError,
        ),
        (hvac_errors.BadGateway("who knows"), SecretStoreError),
        (REFUSED, NotExecutedError),
        (requests.ConnectTimeout(), NotExecutedError),
        (requests.ReadTimeout(), SecretStoreError),
        (requests.ConnectionError(ProtocolError("aborted")), SecretStoreError),
    ],
)
def test_what_hvac_raises_becomes_one_of_ours(raised: Exception, meaning: type[SvcError]) -> None:
    def work(_client: hvac.Client) -> None:
        raise raised

    with pytest.raises(meaning) as caught:
        translated(work, hvac.Client(token=""))

    assert type(caught.value) is meaning
    assert caught.value.__cause__ is raised
