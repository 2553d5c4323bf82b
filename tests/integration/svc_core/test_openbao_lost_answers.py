"""OpenBao acts and its answer is lost: what is asked again, and what is left to the caller."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import hvac
import pytest

from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.domain.identity import GATEKEEPER
from svc_core.errors import SecretStoreError
from svc_core.ports.certificates import LeafRequest
from tests.integration.bare_stack import RunningOpenBao
from tests.integration.svc_core.fault_proxy import FaultProxy, open_fault_proxy

OWN = f"claims/{GATEKEEPER}/lost-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class Line:
    """A session whose answers the proxy can lose."""

    proxy: FaultProxy
    session: OpenBaoSession

    @property
    def store(self) -> OpenBaoSecretStore:
        return OpenBaoSecretStore(self.session)


@pytest.fixture
async def line(openbao: RunningOpenBao) -> AsyncIterator[Line]:
    settings = openbao.settings(GATEKEEPER)
    target = urlsplit(settings.url).port
    assert target is not None
    async with open_fault_proxy(target) as proxy:
        through = settings.model_copy(update={"url": f"https://127.0.0.1:{proxy.port}"})
        async with open_openbao(through, GATEKEEPER) as session:
            await session.login()
            yield Line(proxy, session)


async def version_of(line: Line, path: str) -> int:
    found = await line.store.fetch(path)
    return found.version if found else 0


async def test_a_read_is_asked_again(line: Line) -> None:
    line.proxy.loses_next_answer = True

    assert await line.store.fetch(f"{OWN}-read") is None
    assert not line.proxy.loses_next_answer


async def test_a_write_under_check_and_set_happens_once_and_says_so(line: Line) -> None:
    path = f"{OWN}-cas"
    first = await line.store.store(path, {"accessors": ["a"]}, expected_version=0)
    line.proxy.loses_next_answer = True

    second = await line.store.store(path, {"accessors": ["b"]}, expected_version=first)

    assert (first, second) == (1, 2)
    assert await version_of(line, path) == 2


async def test_what_may_be_created_only_once_is_known_to_be_ones_own(line: Line) -> None:
    path = f"identities/{GATEKEEPER}/lost-{os.getpid()}"
    line.proxy.loses_next_answer = True

    assert await line.store.store(path, {"public": "mine"}, expected_version=0) == 1


async def test_a_write_without_a_condition_is_not_repeated(line: Line) -> None:
    path = f"{OWN}-regardless"
    line.proxy.loses_next_answer = True

    with pytest.raises(SecretStoreError):
        await line.store.store(path, {"accessors": []}, expected_version=None)

    assert await version_of(line, path) == 1


async def test_a_leaf_is_not_asked_for_twice(line: Line) -> None:
    request = LeafRequest("nats_int", "ca-1-1", GATEKEEPER, "no request", timedelta(minutes=1))
    line.proxy.loses_next_answer = True

    with pytest.raises(SecretStoreError):
        await OpenBaoCertificateIssuer(line.session).sign_leaf(request)


async def test_a_secret_id_is_not_made_twice(line: Line) -> None:
    made: list[str] = []

    def counting(client: hvac.Client) -> object:
        made.append("once")
        return client.write_data(
            f"auth/approle/role/{GATEKEEPER}/secret-id",
            data={"metadata": '{"made_by":"rotation"}'},
        )

    line.proxy.loses_next_answer = True
    with pytest.raises(SecretStoreError):
        await line.session.call(counting)

    assert made == ["once"]


async def test_the_session_goes_on_after_any_of_it(line: Line) -> None:
    token = (await line.session.login()).token
    line.proxy.loses_next_answer = True
    with pytest.raises(SecretStoreError):
        await line.session.make_secret_id()

    await line.store.fetch(OWN)

    assert (await line.session.login()).token == token
