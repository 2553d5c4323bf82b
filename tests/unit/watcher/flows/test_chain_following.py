"""In mode ``chain`` servers trust the roots, and never an issuer that none of them signed."""

from dataclasses import replace

from structlog.testing import capture_logs

from svc_core.domain.desired import DesiredState, TrustMode
from tests.unit.watcher.scene import EPOCH, Scene, verified_scene


def chained(scene: Scene, version: int, *, root: int) -> DesiredState:
    """Return a state in mode ``chain`` in which the issuer of one epoch is its own root."""
    state = scene.authority.state(version, EPOCH)
    return replace(
        state, trust_mode=TrustMode.CHAIN, root_pem=scene.authority.mint(EPOCH + root).pem
    )


async def test_the_mode_reaches_every_server_as_a_change_of_its_files() -> None:
    scene = await verified_scene()
    state = chained(scene, 2, root=0)

    await scene.authority.store_state(state)
    await scene.run(2)

    assert [s.version for s in scene.follower.servers] == [2, 2, 2]
    for server in scene.servers:
        assert server.loaded["ca.pem"] == (state.trust_pem + state.root_pem).encode()
        assert server.loaded["route-ca.pem"] == state.route_trust_pem.encode()
    # For whoever connects both are there, apart.
    assert scene.trust.files["ca.pem"] == state.trust_pem.encode()
    assert scene.trust.files["root.pem"] == state.root_pem.encode()


async def test_an_issuer_that_no_trusted_root_signed_reaches_no_server() -> None:
    scene = await verified_scene()
    before = [dict(server.loaded) for server in scene.servers]

    await scene.authority.store_state(chained(scene, 2, root=5))
    with capture_logs() as logs:
        await scene.run(2)

    assert [dict(server.loaded) for server in scene.servers] == before
    assert [s.version for s in scene.follower.servers] == [1, 1, 1]
    assert any("no trusted root signed" in str(entry.get("reason")) for entry in logs)

    await scene.authority.store_state(chained(scene, 3, root=0))
    await scene.run(10)

    assert [s.version for s in scene.follower.servers] == [3, 3, 3]
