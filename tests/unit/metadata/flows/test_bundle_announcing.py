"""Who has another bundle is told so, signed, until the broker has taken it; and nobody else is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.domain.acl import Acl, acl_from_roles
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, WATCHER, ServiceName
from svc_core.domain.subjects import RESPONDER, bundle_push
from svc_core.flows.statements import Statements
from svc_core.wire import bundle_notice, documents
from svc_core.wire.identities import PublicIdentity
from tests.builders import DEMO
from tests.unit.metadata.acls import KNOWN, roles
from tests.unit.metadata.world import Authority, World, run_for

SERVICES = (AUTHCONTROLLER, GATEKEEPER, WATCHER)
PERIOD_S = DEMO.keys.period.total_seconds()


@dataclass
class Ears:
    """Everybody who may be told something."""

    world: World = field(default_factory=World)
    heard: list[tuple[ServiceName, bytes]] = field(default_factory=list)

    @property
    def told(self) -> list[ServiceName]:
        """Who heard something since the last time this was asked."""
        names = [service for service, _ in self.heard]
        self.heard.clear()
        return names

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Authority]:
        """Listen, and yield an authority that has been running for a moment."""
        authority = self.world.start_alone()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._listen(service)) for service in SERVICES]
            await asyncio.sleep(0)
            await run_for(0.1, authority.keys, authority.teller)
            yield authority
            for task in tasks:
                task.cancel()

    async def _listen(self, service: ServiceName) -> None:
        await self.world.bus.listen(
            bundle_push(service), lambda raw: self.heard.append((service, raw))
        )


def with_watcher() -> Acl:
    """Return an ACL in which Watcher too consumes what AuthController produces."""
    changed = roles()
    changed["watcher"]["subscribe"].append(RESPONDER)
    return acl_from_roles(changed, known=KNOWN)[0]


async def test_after_a_start_and_at_each_new_epoch_everybody_with_keys_is_told() -> None:
    ears = Ears()
    async with ears.open() as authority:
        assert ears.told == [AUTHCONTROLLER, GATEKEEPER]
        await run_for(PERIOD_S, authority.keys, authority.teller)
        assert ears.told == [AUTHCONTROLLER, GATEKEEPER]


async def test_other_rights_are_told_at_once_to_whom_they_touch() -> None:
    ears = Ears()
    async with ears.open() as authority:
        ears.told.clear()
        ears.world.acls.replace(with_watcher())
        await run_for(0.01, authority.keys, authority.teller)
        assert ears.told == [WATCHER]


async def test_a_notice_is_signed_by_the_authority_for_its_own_purpose() -> None:
    ears = Ears()
    async with ears.open() as authority:
        _, raw = ears.heard[-1]
        pinned = PublicIdentity(ears.world.author.id, Algorithm.ML_DSA_87, ears.world.author.public)
        body = await Statements([pinned]).verified(
            documents.decode(raw), context=contexts.BUNDLE_NOTICE
        )

        notice = bundle_notice.decode(body)

        snapshot = authority.keys.snapshot
        assert snapshot is not None
        assert (notice.service, notice.version) == (GATEKEEPER, snapshot.version)


async def test_what_could_not_be_said_is_said_when_the_broker_is_back() -> None:
    ears = Ears()
    async with ears.open() as authority:
        ears.told.clear()
        ears.world.bus.is_severed = True
        ears.world.acls.replace(with_watcher())
        await run_for(2, authority.keys, authority.teller)
        assert ears.told == []

        ears.world.bus.is_severed = False
        await run_for(1.1, authority.keys, authority.teller)
        assert ears.told == [WATCHER]
        await run_for(2.1, authority.keys, authority.teller)
        assert ears.told == []
