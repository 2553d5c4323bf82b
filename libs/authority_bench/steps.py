"""What the authority does in one key epoch, step by step, each timed by itself.

While a step runs, two probes watch the event loop: how late it wakes whoever sleeps, by the wall,
and how long it worked without a pause, in processor time, which other programs do not use up.
Nothing the authority does may keep its heartbeats, its answers and its lease waiting.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from authority_bench.desk import INSTANCE, Client, Desk
from authority_bench.shapes import Shape
from benchmarks.authority_order import ASSEMBLE, BUNDLE, IDLE, ISSUE, SEAL
from benchmarks.loop_probe import LagProbe, TurnProbe
from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.domain.key_ledger import KeySnapshot
from services.metadata.domain.stated_rights import RIGHTS_PATH
from services.metadata.flows.acl_following import judge_manifest
from services.metadata.flows.bundle_assembling import encode_bundle
from svc_core.domain.acl_diff import diff_acls
from svc_core.domain.epochs import Epoch
from svc_core.domain.subjects import KEYS_PATH, bundle_path
from svc_core.wire import stored_bundle
from svc_core.wire.stored_bundle import StoredBundle

_IDLE_S: Final = 0.3
_AFTER_S: Final = 0.005
_MS_PER_S: Final = 1000
_KEPT: Final = 5
"""Epochs in store once a round is like another."""

PARSE: Final = "parse the manifest"
COMPARE: Final = "compare two manifests"
GENERATE: Final = "make the keys of one epoch"
READ: Final = "read one epoch back"
RESTART: Final = "start anew: read every epoch"
CHANGE: Final = "take over a changed manifest"
ROLL: Final = "roll keys after it"
STORE: Final = "store a bundle"
PULL: Final = "pull a bundle and open it"


@dataclass(slots=True)
class Timings:
    """Of all steps of one round."""

    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def take(self, name: str, *works: Callable[[], Awaitable[object]]) -> None:
        """Do ``works`` one after the other and note how long they take, and what the loop says."""
        taken_ms = []
        cpu_s = time.process_time()
        async with LagProbe() as lag, TurnProbe() as turns:
            for work in works:
                began = time.perf_counter()
                await work()
                taken_ms.append((time.perf_counter() - began) * _MS_PER_S)
            # So that what the last one held up is noticed, too.
            await asyncio.sleep(_AFTER_S)
        self.steps[name] = {
            "ms": taken_ms,
            "cpu_ms": (time.process_time() - cpu_s) * _MS_PER_S / len(works),
            "lag_ms": max(lag.lags_ms, default=0.0),
            "turn_ms": max(turns.turns_ms, default=0.0),
        }


@dataclass(slots=True)
class Rounds:
    """Goes through one epoch after the other."""

    desk: Desk
    shape: Shape
    stored: int
    """How many bundles are stored and pulled."""
    _is_changed: bool = False

    async def begin(self) -> None:
        """Put the rights in force and make the first keys, so that every round is like another."""
        await self.desk.rights.propose(self.shape.acl)
        for _ in range(_KEPT):
            self.desk.clock.begin_next_epoch()
            await self.desk.keys.catch_up()

    async def go(self) -> dict[str, Any]:
        """Return the timings of one epoch, and what became how large in it."""
        timings, desk, shape = Timings(), self.desk, self.shape
        parse = partial(judge_manifest, shape.manifest, shape.known)
        compare = partial(diff_acls, shape.acl, shape.changed)
        generate = partial(
            KeyGeneration(Epoch(0), {}, {}).caught_up, shape.acl, desk.around.entropy
        )
        await timings.take(PARSE, lambda: asyncio.to_thread(parse))
        await timings.take(COMPARE, lambda: asyncio.to_thread(compare))
        await timings.take(GENERATE, lambda: asyncio.to_thread(generate))
        desk.clock.begin_next_epoch()
        await timings.take(ISSUE, desk.keys.catch_up)
        newest = Epoch(desk.keys.newest_epoch)
        await timings.take(READ, lambda: desk.keeper.fetch(newest))
        await timings.take(RESTART, desk.restarted().catch_up)
        self._is_changed = not self._is_changed
        acl = shape.changed if self._is_changed else shape.acl
        await timings.take(CHANGE, lambda: desk.rights.propose(acl))
        await timings.take(ROLL, desk.keys.catch_up)
        sizes = await self._bundles(timings, await desk.keys.catch_up())
        await timings.take(IDLE, lambda: asyncio.sleep(_IDLE_S))
        return {"steps": timings.steps, "sizes": sizes | await self._sizes(newest)}

    async def _bundles(self, timings: Timings, snapshot: KeySnapshot) -> dict[str, list[int]]:
        sizes: dict[str, int] = {}
        sealed: dict[str, StoredBundle] = {}
        clients = [c for c in self.desk.clients if c.service in snapshot.acl.services]
        some = clients[:: max(1, len(clients) // self.stored)][: self.stored]

        async def serve(client: Client) -> None:
            encoded = await asyncio.to_thread(self._made, client, snapshot)
            found = await self._sealed(encoded, client, snapshot)
            sizes[client.service] = len(encoded)
            if client in some:
                sealed[client.service] = found

        await timings.take(ASSEMBLE, *_each(serve, clients))
        encoded = self._made(some[0], snapshot)
        await timings.take(SEAL, *_each(lambda c: self._sealed(encoded, c, snapshot), some))
        await timings.take(STORE, *_each(lambda c: self._store(c, sealed[c.service]), some))
        await timings.take(PULL, *_each(lambda c: self.desk.follower(c).pull(), some))
        return {BUNDLE: sorted(sizes.values())}

    def _made(self, client: Client, snapshot: KeySnapshot) -> bytes:
        return encode_bundle(self.desk.assembler.assemble(client.service, snapshot))

    async def _sealed(self, encoded: bytes, client: Client, snapshot: KeySnapshot) -> StoredBundle:
        ends = self.desk.around.profile.keys.expires(snapshot.generations[-1].epoch)
        return await self.desk.sealer.seal(
            encoded, client.recipient, version=snapshot.version, expires_at=ends
        )

    async def _store(self, client: Client, sealed: StoredBundle) -> None:
        path = bundle_path(client.service, INSTANCE)
        found = await self.desk.store.fetch(path)
        raw = await asyncio.to_thread(stored_bundle.encode, sealed)
        await self.desk.documents.store(path, raw, expected_version=found.version if found else 0)

    async def _sizes(self, newest: Epoch) -> dict[str, list[int]]:
        found = {"manifest": [len(self.shape.manifest)]}
        for name, path in (
            ("stored keys of one epoch", f"{KEYS_PATH}/{newest}"),
            ("stored rights", RIGHTS_PATH),
        ):
            document = await self.desk.documents.fetch(path)
            found[name] = [len(document[0])] if document else []
        return found


def _each(
    work: Callable[[Client], Awaitable[object]], clients: Sequence[Client]
) -> Sequence[Callable[[], Awaitable[object]]]:
    return [partial(work, client) for client in clients]
