"""The list of Metadata's identities is followed: newer ones count at once, bad ones never."""

from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from svc_core.adapters.pinned import PinnedList
from svc_core.config import TrustSettings
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.errors import IdentityError
from svc_core.flows.identity_following import (
    REFUSED,
    VERSION,
    IdentityFollower,
    NotListedError,
)
from svc_core.flows.statements import Author, Statements
from svc_core.runtime.health import Health
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire.identities import (
    PublicIdentity,
    SignedIdentities,
    encode,
    signing_input,
)
from tests.authority import make_author, without_threads
from tests.fakes.clock import LoopClock

ONE, TWO = make_author("metadata-1"), make_author("metadata-2")
OPERATOR, STRANGER = make_author("operator"), make_author("stranger")
CONTEXT = contexts.DESIRED_STATE


def public(author: Author) -> PublicIdentity:
    return PublicIdentity(author.id, Algorithm.ML_DSA_87, author.public)


async def listed(
    *authors: Author, version: int, by: Author = OPERATOR, former: Sequence[Author] = ()
) -> bytes:
    """Return an encoded list of ``authors``."""
    identities, gone = tuple(map(public, authors)), tuple(map(public, former))
    covered = signing_input(identities, version=version, former=gone)
    signature = await by.sign_bytes(covered, context=contexts.IDENTITY_LIST)
    return encode(SignedIdentities(identities, signature, version, gone))


class ScriptedList(PinnedList):
    """The list of a file, whose changes the test says."""

    changes: Sequence[bytes | None] = ()

    async def follow(self) -> AsyncIterator[bytes | None]:
        """Yield what the test says, and end."""
        for change in self.changes:
            yield change


@dataclass
class Scene:
    """One follower that began with a list of version 3 with both identities."""

    pinned: ScriptedList
    statements: Statements
    follower: IdentityFollower
    health: Health
    metrics: CollectorRegistry

    async def change(self, *raws: bytes | None) -> None:
        """Let the follower see these, one after the other."""
        self.pinned.changes = raws
        await self.follower.run()

    async def is_believed(self, author: Author) -> bool:
        document = await author.sign(b"body", context=CONTEXT)
        try:
            return await self.statements.verified(document, context=CONTEXT) == b"body"
        except IdentityError:
            return False

    @property
    def detail(self) -> str:
        return self.health.report().loops[IdentityFollower.name].detail

    def metric(self, name: str) -> float | None:
        return self.metrics.get_sample_value(name)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    without_threads()
    trust = TrustSettings(
        operator_key_file=tmp_path / "operator.pub",
        metadata_identities_file=tmp_path / "identities.json",
    )
    trust.operator_key_file.write_bytes(b64encode(OPERATOR.public))
    trust.metadata_identities_file.write_bytes(await listed(ONE, TWO, version=3))
    pinned, health, metrics = ScriptedList(trust), Health(LoopClock()), CollectorRegistry()
    first = pinned.read()
    statements = Statements(first.identities)
    follower = IdentityFollower(pinned, first, statements, health, metrics)
    return Scene(pinned, statements, follower, health, metrics)


async def test_who_is_removed_is_refused_from_then_on_and_the_others_are_not(scene: Scene) -> None:
    woken = Wakeup()
    scene.follower.wake(woken)
    assert await scene.is_believed(ONE)

    with capture_logs() as logs:
        await scene.change(await listed(TWO, version=4, former=[ONE]))

    assert not await scene.is_believed(ONE)
    assert await scene.is_believed(TWO)
    assert [(e["event"], e["version"], e["identities"]) for e in logs] == [
        ("identities.replaced", 4, ["metadata-2"])
    ]
    assert scene.detail == "version 4: metadata-2"
    assert scene.metric(VERSION) == 4
    assert await woken.wait(0)


async def test_a_newcomer_is_believed_as_soon_as_it_is_listed(scene: Scene) -> None:
    three = make_author("metadata-3")
    assert not await scene.is_believed(three)

    await scene.change(await listed(ONE, TWO, three, version=4))

    assert await scene.is_believed(three)
    assert await scene.is_believed(ONE)


@pytest.mark.parametrize("case", ["stranger", "damaged", "empty", "gone", "older", "same version"])
async def test_a_bad_list_leaves_the_last_good_one_in_force(scene: Scene, case: str) -> None:
    good = await listed(ONE, version=4)
    bad = {
        "stranger": await listed(ONE, version=4, by=STRANGER),
        "damaged": good[:-40],
        "empty": b"",
        "gone": None,
        "older": await listed(ONE, version=2),
        "same version": await listed(ONE, version=3),
    }[case]

    with capture_logs() as logs:
        await scene.change(bad, bad)

    assert await scene.is_believed(TWO)
    assert [e["event"] for e in logs] == ["identities.refused"]
    assert scene.metric(REFUSED) == 1
    assert scene.metric(VERSION) == 3
    assert scene.health.report().ready
    assert scene.detail.startswith("version 3: metadata-1, metadata-2; the list there is refused")

    await scene.change(good)
    assert not await scene.is_believed(TWO)
    assert scene.detail == "version 4: metadata-1"


async def test_a_list_of_before_there_were_versions_does_not_come_back(scene: Scene) -> None:
    with capture_logs() as logs:
        await scene.change(await listed(ONE, version=0))

    assert await scene.is_believed(TWO)
    assert [e["code"] for e in logs] == ["identity.list_rollback"]


async def test_the_same_list_again_is_no_change(scene: Scene) -> None:
    with capture_logs() as logs:
        await scene.change(await listed(ONE, TWO, version=3))

    assert logs == []
    assert scene.statements.generation == 0


async def test_who_signs_and_is_removed_ends(scene: Scene) -> None:
    scene.follower.required = ONE.id

    with pytest.raises(NotListedError, match="metadata-1"):
        await scene.change(await listed(TWO, version=4))

    assert await scene.is_believed(ONE)
