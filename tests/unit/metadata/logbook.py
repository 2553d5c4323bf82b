"""The audit log of a world: every entry that was ever written, and whether it is whole."""

from collections.abc import Mapping

from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm
from svc_core.domain.audit import AUDIT_PATH
from svc_core.flows.statements import Statements
from svc_core.wire.audit_chain import CheckSignature, Link, first_fault, read_link
from svc_core.wire.identities import PublicIdentity
from tests.unit.metadata.world import World


def read_log(world: World) -> list[Link]:
    """Return every entry that was ever written, in order."""
    return [read_link(data) for path, data in world.store.history if path.startswith(AUDIT_PATH)]


async def stored_log(world: World) -> dict[int, Mapping[str, object]]:
    """Return the entries there are now."""
    stored: dict[int, Mapping[str, object]] = {}
    for name in await world.store.fetch_names(AUDIT_PATH):
        found = await world.store.fetch(f"{AUDIT_PATH}/{name}")
        assert found is not None
        stored[int(name)] = found.data
    return stored


def checking(world: World) -> CheckSignature:
    """Return what verifies the signatures of this world's authority."""
    pinned = PublicIdentity(world.author.id, Algorithm.ML_DSA_87, world.author.public)
    statements = Statements([pinned])

    def check(signer: str, signature: bytes, message: bytes) -> None:
        statements.verifier(signer).verify(signature, message, context=contexts.AUDIT_CHECKPOINT)

    return check


async def assert_whole(world: World) -> None:
    """The log is as it was written, up to what the newest desired state names."""
    head = world.desired[-1].audit
    assert head.number > 0
    assert first_fault(await stored_log(world), head, checking(world)) is None
