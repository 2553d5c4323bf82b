"""Keys as they are stored, opened with Metadata's rights, and as a service gets them.

Once made they must never change, and what is served must be what is stored.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from devstack.endpoints import read_endpoints
from devstack.layout import Layout
from services.metadata.adapters.key_wrap import TransitKeyWrap
from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.flows.key_keeping import KeyKeeper
from svc_core.adapters.openbao import OpenBaoSession, open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.config import OpenBaoSettings
from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import GATEKEEPER, METADATA
from svc_core.domain.keys import KeyRing
from svc_core.domain.subjects import KEYS_PATH
from svc_core.flows.parted_documents import PartedDocuments
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.loot import Loot, ask_for_bundle, connected_as

Generations = Mapping[int, KeyGeneration]
"""By key epoch."""


async def fetch_generations(layout: Layout) -> dict[int, KeyGeneration]:
    """Return every key generation that is stored now."""
    found: dict[int, KeyGeneration] = {}
    async with _session(layout) as session:
        store = OpenBaoSecretStore(session)
        keeper = KeyKeeper(store, TransitKeyWrap(session))
        names = await PartedDocuments(store).fetch_names(KEYS_PATH)
        for number in sorted(int(name) for name in names if name.isdigit()):
            kept = await keeper.fetch(Epoch(number))
            if kept is not None:
                found[number] = kept.generation
    return found


def changes(before: Generations, after: Generations) -> list[str]:
    """Name what was made and is another now; more keys and epochs are no change."""
    found: list[str] = []
    for epoch in sorted(before.keys() & after.keys()):
        was, now = before[epoch], after[epoch]
        for topic, keys in was.topics.items():
            made = [key.reveal() for key in keys]
            kept = [key.reveal() for key in now.topics.get(topic, ())]
            if kept[: len(made)] != made:
                found.append(f"epoch {epoch}: keys of topic {topic}")
        for service, seed in was.seeds.items():
            if service not in now.seeds or now.seeds[service].reveal() != seed.reveal():
                found.append(f"epoch {epoch}: signing key of {service}")
    return found


async def fetch_served(stack: LoadedStack, folder: Path) -> KeyRing:
    """Return the keys in Gatekeeper's bundle, asked for as Gatekeeper does."""
    async with connected_as(stack, GATEKEEPER, folder) as client:
        ring = await ask_for_bundle(stack, GATEKEEPER, client)
    assert ring is not None
    return ring


def strangers(served: KeyRing, stored: Generations) -> list[str]:
    """Name what was served and is not, bit for bit, what is stored under the same id."""
    ours, theirs = Loot.of_generations(stored.values()), Loot.of_ring(served)
    found = [
        f"topic key {key_id}"
        for key_id, key in theirs.topic_keys.items()
        if key_id not in ours.topic_keys
        or ours.topic_keys[key_id].secret.reveal() != key.secret.reveal()
    ]
    found += [
        f"signing key of epoch {epoch}"
        for (service, epoch), key in theirs.seeds.items()
        if (service, epoch) not in ours.seeds
        or ours.seeds[service, epoch].seed.reveal() != key.seed.reveal()
    ]
    return found


@asynccontextmanager
async def _session(layout: Layout) -> AsyncIterator[OpenBaoSession]:
    endpoints = read_endpoints(layout)
    assert endpoints is not None
    settings = OpenBaoSettings(
        url=endpoints.openbao.url,
        ca_file=layout.openbao_ca,
        role_id_file=layout.role_id(METADATA),
        secret_id_file=layout.secret_id(METADATA),
    )
    async with open_openbao(settings, METADATA) as session:
        yield session
