"""Reading the audit log from an OpenBao that does not answer is one error, which says so."""

import aiohttp
import pytest

from console.audit_log import _entries
from devstack.openbao_api import OpenBaoApi
from svc_core.errors import SecretStoreError

NOBODY = "http://127.0.0.1:1"


async def test_an_openbao_that_goes_away_meanwhile_is_one_error() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SecretStoreError, match="did not answer"):
            await _entries(OpenBaoApi(NOBODY, session), range(100))
