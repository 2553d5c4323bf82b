"""The keys of ten thousand topics, which no entry of OpenBao takes, are kept all the same."""

from collections.abc import AsyncIterator

import pytest

from authority_bench.shapes import made_up
from services.metadata.adapters.key_wrap import TransitKeyWrap
from services.metadata.domain import key_generations
from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.flows.key_keeping import KeyKeeper
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import METADATA
from svc_core.domain.subjects import KEYS_PATH
from svc_core.errors import StaleWriteError
from tests.builders import seeded_entropy
from tests.integration.bare_stack import RunningOpenBao

EPOCH = Epoch(7)
LATER = 10**6
TERM = 1
PARTS = f"{KEYS_PATH}/{EPOCH}.parts"


@pytest.fixture
async def store(openbao: RunningOpenBao) -> AsyncIterator[OpenBaoSecretStore]:
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        yield OpenBaoSecretStore(session)
        await KeyKeeper(OpenBaoSecretStore(session), TransitKeyWrap(session)).remove_before(LATER)


async def test_ten_thousand_topics_come_back_and_leave_nothing(
    openbao: RunningOpenBao, store: OpenBaoSecretStore
) -> None:
    acl = made_up(topics=10_000, services=200, consumers=2).acl
    made = KeyGeneration(EPOCH, {}, {}).caught_up(acl, seeded_entropy())

    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        keeper = KeyKeeper(store, TransitKeyWrap(session))
        await keeper.store(made, term=TERM, found=None)
        found = await keeper.fetch(EPOCH)
        with pytest.raises(StaleWriteError):
            await keeper.store(made, term=TERM, found=None)

        assert found is not None
        assert key_generations.encode(found.generation) == key_generations.encode(made)
        assert len(await store.fetch_names(PARTS)) > 1

        assert await keeper.remove_before(LATER) == [EPOCH.number]
        assert await keeper.fetch(EPOCH) is None
    assert await store.fetch_names(PARTS) == ()
