"""What a server says of itself must agree in both: which files it has, and when it read them."""

from dataclasses import replace

from services.watcher.flows.server_keeping import NOT_LOADED
from tests.fakes.scripted_servers import ScriptedServer
from tests.unit.watcher.scene import verified_scene


class ForgetfulServer(ScriptedServer):
    """Reads its configuration again, and goes on with the files it had."""

    def load(self) -> None:
        """Note a load that changes nothing."""
        had = self.loaded
        super().load()
        self.loaded = had


async def test_a_server_that_read_something_else_is_not_acknowledged() -> None:
    scene = await verified_scene()
    former = scene.servers[0]
    forgetful = ForgetfulServer(
        former.name, former.target, loaded=former.loaded, loaded_at=former.loaded_at
    )
    scene.servers[0] = forgetful
    scene.follower._keepers[0].tools = replace(
        scene.follower._keepers[0].tools, signal=forgetful, check=forgetful
    )

    await scene.says(2, 0, 1)
    await scene.run(2)

    assert forgetful.reloads > 0
    assert (scene.status().version, scene.status().error) == (1, NOT_LOADED)
    assert scene.status("n2").version == 2


async def test_a_server_that_read_nothing_is_not_acknowledged_although_it_has_the_files() -> None:
    scene = await verified_scene()
    server = scene.servers[0]

    # Somebody else made it load; whatever that was, it must be seen to load what is published.
    server.load()
    server.is_stubborn = True
    await scene.run(2)

    assert server.reloads > 0
    assert scene.status().error == NOT_LOADED
