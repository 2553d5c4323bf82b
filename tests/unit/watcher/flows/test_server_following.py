"""A server is acknowledged only for what it shows; one that fails does not stop the others."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from services.watcher.flows import reload_metrics
from services.watcher.flows.server_keeping import (
    NOT_CONFIRMED,
    NOT_LOADED,
    NOT_RUNNING,
    SILENCE_S,
)
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import AccessDeniedError, BusError, NotFoundError, SecretStoreError
from tests.unit.watcher.scene import PROFILE, Scene, ca, verified_scene

HALF_LIFE_S = 0.55 * PROFILE.leaf_ttl.total_seconds()
"""By then a certificate has been renewed, whatever the jitter."""


async def test_at_first_nothing_is_known_of_any_server() -> None:
    scene = Scene()

    assert {(s.version, s.error) for s in scene.follower.servers} == {(0, "not verified yet")}


async def test_without_a_desired_state_nothing_is_touched() -> None:
    scene = Scene()

    await scene.run(3)

    assert [s.target.published for s in scene.servers] == [0, 0, 0]
    assert scene.trust.published == 0


async def test_files_are_there_before_a_server_runs_and_it_is_verified_once_it_does() -> None:
    scene = Scene()
    for server in scene.servers:
        server.is_running = False
    await scene.says(1, 0)

    await scene.run(3)
    assert {s.error for s in scene.follower.servers} == {NOT_RUNNING}
    assert [s.target.published for s in scene.servers] == [1, 1, 1]

    for server in scene.servers:
        server.load()
        server.is_running = True
    await scene.run(0.5)

    assert {(s.version, s.issuer, s.error) for s in scene.follower.servers} == {(1, ca(), "")}
    assert [s.reloads + s.signals for s in scene.servers] == [0, 0, 0]


async def test_a_rotation_reloads_every_server_once_per_change_of_its_files() -> None:
    scene = await verified_scene()
    before = [server.reloads for server in scene.servers]

    await scene.says(2, 0, 1)
    await scene.run(2)
    assert [s.version for s in scene.follower.servers] == [2, 2, 2]

    await scene.says(3, 1, 0)
    await scene.run(2)

    assert {(s.version, s.issuer) for s in scene.follower.servers} == {(3, ca(1))}
    assert [s.reloads - b for s, b in zip(scene.servers, before, strict=True)] == [2, 2, 2]
    assert scene.trust.files["ca.pem"].count(b"BEGIN CERTIFICATE") == 2
    assert scene.servers[0].loaded["ca.pem"] == scene.trust.files["ca.pem"]


async def test_a_version_that_changes_no_file_is_acknowledged_without_a_reload() -> None:
    scene = await verified_scene()
    before = [server.reloads for server in scene.servers]

    await scene.says(2, 0)
    await scene.run(1)

    assert [s.version for s in scene.follower.servers] == [2, 2, 2]
    assert [server.reloads for server in scene.servers] == before


async def test_a_change_wakes_who_acknowledges_and_rest_does_not() -> None:
    scene = await verified_scene()
    assert await scene.follower.acknowledged.wait(0.1)

    await scene.run(5)
    assert not await scene.follower.acknowledged.wait(0.1)

    await scene.says(2, 0, 1)
    await scene.run(1)
    assert await scene.follower.acknowledged.wait(0.1)


# --- what is not believed -----------------------------------------------------------------------


async def test_a_refused_reload_leaves_the_former_version_and_says_why() -> None:
    scene = await verified_scene()
    scene.servers[2].refusal = "cannot read ca.pem"
    await scene.says(2, 0, 1)

    with capture_logs() as logs:
        await scene.run(3)

    failed = scene.status("n3")
    assert (failed.version, failed.issuer) == (1, ca())
    assert failed.error == "reload refused: cannot read ca.pem"
    assert [scene.status(name).version for name in ("n1", "n2")] == [2, 2]
    assert len([e for e in logs if e["event"] == "nats.reload_failed"]) == 1

    scene.servers[2].refusal = ""
    await scene.run(1)
    assert (scene.status("n3").version, scene.status("n3").error) == (2, "")


async def test_a_reload_that_was_answered_but_loaded_nothing_is_a_failure() -> None:
    scene = await verified_scene()
    scene.servers[0].is_stubborn = True
    await scene.says(2, 0, 1)

    await scene.run(3)

    assert (scene.status("n1").version, scene.status("n1").error) == (1, NOT_LOADED)


async def test_a_server_that_refuses_the_canary_is_a_failure() -> None:
    scene = await verified_scene()
    scene.servers[1].canary_error = "handshake failed"
    await scene.says(2, 0, 1)

    await scene.run(3)

    assert (scene.status("n2").version, scene.status("n2").error) == (1, "handshake failed")
    assert scene.servers[1].reloads <= 2


async def test_the_canary_is_of_the_newest_issuer_not_of_the_active() -> None:
    scene = await verified_scene()
    state = scene.authority.state(2, 100, 101)

    canary = await scene.canaries.of_newest(state)

    assert (canary.issuer, state.active) == (ca(1), ca())
    assert await scene.canaries.of_newest(state) is canary


async def test_a_canary_is_renewed_at_half_of_its_life_and_for_other_trust() -> None:
    scene = Scene()
    state = scene.authority.state(2, 100)
    first = await scene.canaries.of_newest(state)

    await asyncio.sleep(0.5 * PROFILE.leaf_ttl.total_seconds())
    second = await scene.canaries.of_newest(state)
    third = await scene.canaries.of_newest(scene.authority.state(3, 100, 99))

    assert len({first.chain_pem, second.chain_pem, third.chain_pem}) == 3
    assert third.trust_pem.count("BEGIN CERTIFICATE") == 2


async def test_a_signal_alone_is_no_proof() -> None:
    scene = await verified_scene()
    scene.cluster.failure = BusError("the system account is away")
    for server in scene.servers:
        server.is_stubborn = True
    await scene.says(2, 0)
    await scene.says(3, 0, -1)

    await scene.run(3)

    assert [s.version for s in scene.follower.servers] == [1, 1, 1]
    assert all(server.signals for server in scene.servers)


@pytest.mark.parametrize("failure", [BusError("away"), AccessDeniedError("no such user")])
async def test_without_the_system_account_a_server_is_signalled_and_verified_when_it_is_back(
    failure: BusError | AccessDeniedError,
) -> None:
    scene = await verified_scene()
    scene.cluster.failure = failure
    await scene.says(2, 0, 1)
    await scene.run(3)
    assert {server.loaded["ca.pem"].count(b"BEGIN") for server in scene.servers} == {2}
    assert [s.version for s in scene.follower.servers] == [1, 1, 1]

    scene.cluster.failure = None
    await scene.run(0.5)

    assert {(s.version, s.error) for s in scene.follower.servers} == {(2, "")}


async def test_a_server_that_can_neither_be_asked_nor_signalled_says_why() -> None:
    scene = await verified_scene()
    scene.servers[0].is_silent = True
    scene.servers[0].signal_failure = AccessDeniedError("may not signal")
    await scene.says(2, 0, 1)

    await scene.run(2)

    assert scene.status("n1").error == "cannot be signalled: may not signal"
    assert [scene.status(name).version for name in ("n2", "n3")] == [2, 2]


async def test_a_verified_server_that_is_slow_to_answer_is_still_believed_if_it_shakes_hands() -> (
    None
):
    scene = await verified_scene()
    scene.servers[0].is_silent = True

    await scene.run(3)

    assert (scene.status("n1").version, scene.status("n1").error) == (1, "")
    assert scene.servers[0].signals == 0


async def test_a_verified_server_that_answers_nobody_is_a_failure() -> None:
    scene = await verified_scene()
    scene.servers[0].is_running = False

    await scene.run(1)

    assert scene.status("n1").error == NOT_RUNNING
    assert [scene.status(name).error for name in ("n2", "n3")] == ["", ""]


async def test_a_server_that_does_not_confirm_its_reload_is_a_failure() -> None:
    scene = await verified_scene()
    await scene.says(2, 0, 1)
    ask = scene.cluster.reload

    async def no_answer(server_id: str) -> str:
        await ask(server_id)
        raise BusError("no answer in time")

    scene.cluster.reload = no_answer  # type: ignore[method-assign]
    await scene.follower.hinted.wait(0)
    desired = await scene.reader.read()
    assert desired is not None
    material = await scene.material(scene.servers[0]).keep(desired)
    keeper = scene.keeper(scene.servers[0])
    canary = await scene.canaries.of_newest(desired)

    await keeper.keep(desired, material, canary, {"n1": scene.servers[0].facts})

    assert keeper.status.error == "reload not confirmed: no answer in time"
    assert keeper.status.failed_at == 0


# --- what is a failure --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"refusal": "cannot read ca.pem"}, id="a reload that is refused"),
        pytest.param({"canary_error": "unknown authority"}, id="a handshake that is refused"),
    ],
)
async def test_what_a_server_says_or_shows_is_a_failure_at_once(spoil: dict[str, str]) -> None:
    scene = await verified_scene()
    for name, value in spoil.items():
        setattr(scene.servers[2], name, value)
    await scene.says(2, 0, 1)

    with capture_logs() as logs:
        await scene.run(0.1)

    assert [s.failed_at for s in scene.follower.servers] == [0, 0, 2]
    assert [e["server"] for e in logs if e["event"] == "server.failed"] == ["n3"]

    for name in spoil:
        setattr(scene.servers[2], name, "")
    await scene.run(1)
    assert [s.failed_at for s in scene.follower.servers] == [0, 0, 0]


async def test_silence_is_a_failure_when_it_lasts_while_others_answer() -> None:
    scene = await verified_scene()
    scene.servers[2].is_silent = True
    scene.servers[2].is_stubborn = True
    await scene.says(2, 0, 1)

    await scene.run(SILENCE_S - 0.1)
    assert (scene.status("n3").error, scene.status("n3").failed_at) == (NOT_CONFIRMED, 0)

    await scene.run(0.5)
    assert [s.failed_at for s in scene.follower.servers] == [0, 0, 2]


async def test_who_hears_nobody_judges_nobody() -> None:
    scene = await verified_scene()
    scene.cluster.failure = BusError("the system account is away")
    await scene.says(2, 0, 1)

    await scene.run(2 * SILENCE_S)
    assert [(s.error, s.failed_at) for s in scene.follower.servers] == [(NOT_CONFIRMED, 0)] * 3

    scene.cluster.failure = None
    scene.servers[2].is_silent = True
    await scene.run(SILENCE_S - 0.5)
    assert [s.failed_at for s in scene.follower.servers] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        pytest.param("is_running", False, NOT_RUNNING, id="it loads what is there when it starts"),
        pytest.param("is_stubborn", True, NOT_LOADED, id="its files may be on their way"),
    ],
)
async def test_what_may_mend_itself_is_no_failure(name: str, value: bool, error: str) -> None:
    scene = await verified_scene()
    setattr(scene.servers[2], name, value)
    await scene.says(2, 0, 1)

    await scene.run(2 * SILENCE_S)

    assert (scene.status("n3").error, scene.status("n3").failed_at) == (error, 0)


async def test_a_server_that_answers_late_does_not_delay_what_is_said_of_the_others() -> None:
    scene = await verified_scene()
    await scene.follower.acknowledged.wait(0)
    slow = scene.servers[2]

    async def hang(url: str, canary: TlsMaterial) -> str:
        await asyncio.sleep(10)
        return "no answer"

    slow.prove = hang  # type: ignore[method-assign]
    await scene.says(2, 0, 1)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(scene.follower.run())
        heard = await scene.follower.acknowledged.wait(1)
        versions = [s.version for s in scene.follower.servers]
        running.cancel()

    assert (heard, versions) == (True, [2, 2, 1])


# --- each for itself ----------------------------------------------------------------------------


async def test_files_that_cannot_be_published_for_one_server_do_not_stop_the_others() -> None:
    scene = await verified_scene()
    scene.servers[0].target.failure = AccessDeniedError("not allowed to write there")
    await scene.says(2, 0, 1)

    await scene.run(3)

    assert [s.version for s in scene.follower.servers] == [1, 2, 2]

    scene.servers[0].target.failure = None
    await scene.run(5)
    assert [s.version for s in scene.follower.servers] == [2, 2, 2]


async def test_while_openbao_is_away_servers_stay_as_they_are_and_follow_when_it_returns() -> None:
    scene = await verified_scene()
    await scene.says(2, 0, 1)
    scene.authority.certificates.failure = SecretStoreError("OpenBao is away")
    await scene.run(5)
    assert [s.version for s in scene.follower.servers] == [1, 1, 1]

    scene.authority.certificates.failure = None
    await scene.run(5)

    assert [s.version for s in scene.follower.servers] == [2, 2, 2]


async def test_an_issuer_too_near_its_end_gives_no_certificate() -> None:
    scene = await verified_scene()
    await asyncio.sleep(PROFILE.ca.validity.total_seconds())
    desired = await scene.reader.read()
    assert desired is not None

    with pytest.raises(NotFoundError):
        await scene.canaries.of_newest(desired)


# --- renewal and drift --------------------------------------------------------------------------


async def test_certificates_are_renewed_at_half_of_their_life() -> None:
    scene = await verified_scene()
    before = [server.loaded["server.pem"] for server in scene.servers]

    await scene.run(0.45 * PROFILE.leaf_ttl.total_seconds() - 2)
    assert [server.loaded["server.pem"] for server in scene.servers] == before

    await scene.run(HALF_LIFE_S)

    assert not set(before) & {server.loaded["server.pem"] for server in scene.servers}
    assert {s.error for s in scene.follower.servers} == {""}


@pytest.mark.parametrize("name", ["ca.pem", "accounts.conf", "server.pem"])
async def test_a_file_that_was_changed_by_hand_is_put_right(name: str) -> None:
    scene = await verified_scene()
    target = scene.servers[0].target
    good = dict(target.files)

    target.files[name] = b"changed by hand"
    with capture_logs() as logs:
        await scene.run(1)

    assert target.files == good
    assert [e["event"] for e in logs].count("material.drift_repaired") == 1


async def test_a_file_that_was_deleted_is_put_back() -> None:
    scene = await verified_scene()
    del scene.servers[0].target.files["route-ca.pem"]
    del scene.trust.files["root.pem"]

    await scene.run(1)

    assert "route-ca.pem" in scene.servers[0].target.files
    assert "root.pem" in scene.trust.files


async def test_a_server_that_was_made_to_load_changed_files_loads_the_right_ones_again() -> None:
    scene = await verified_scene()
    server = scene.servers[0]
    good = server.loaded["ca.pem"]
    server.target.files["ca.pem"] = b"a stranger's CA"
    server.load()

    await scene.run(1.5)

    assert server.loaded["ca.pem"] == good
    assert (scene.status("n1").version, scene.status("n1").error) == (1, "")
    assert scene.servers[1].reloads == 1


async def test_the_trust_file_is_written_once_per_change() -> None:
    scene = await verified_scene()
    await scene.run(5)
    assert scene.trust.published == 1

    await scene.says(2, 0, 1)
    await scene.run(5)

    assert scene.trust.published == 2


async def test_reloads_are_counted_for_the_servers_that_had_one() -> None:
    scene = await verified_scene()
    before = scene.count(reload_metrics.RELOADS)
    scene.servers[2].refusal = "no"

    await scene.says(2, 0, 1)
    await scene.run(0.1)

    assert scene.count(reload_metrics.RELOADS) - before == 3
    assert scene.count(reload_metrics.RELOADS_FAILED) == 1


async def test_rest_is_no_reload() -> None:
    scene = await verified_scene()
    before = scene.count(reload_metrics.RELOADS)
    scene.servers[0].is_silent = True

    await scene.run(5)

    assert scene.count(reload_metrics.RELOADS) == before


# --- what an operator finds ---------------------------------------------------------------------


@dataclass
class RecordedEvents:
    """`OperatorEvents` as lines."""

    lines: list[str] = field(default_factory=list)

    def applied(self, *, version: int, active: str) -> None:
        self._add(f"applied {version} {active}")

    def reload_failed(self, server: str, reason: str) -> None:
        self._add(f"{server} failed: {reason}")

    def propagation_slow(self, server: str, waited: timedelta) -> None:
        self._add(f"{server} slow after {waited}")

    def _add(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)


async def test_an_operator_finds_what_was_applied_and_what_failed() -> None:
    scene = await verified_scene()
    scene.follower.events = events = RecordedEvents()
    scene.servers[1].refusal = "no"
    await scene.says(2, 0, 1)

    await scene.run(2)
    assert events.lines == ["n2 failed: reload refused: no"]

    scene.servers[1].refusal = ""
    await scene.run(2)
    assert events.lines[1:] == [f"applied 2 {ca()}"]


async def test_without_anybody_to_tell_it_works_all_the_same() -> None:
    scene = await verified_scene()
    scene.follower.metrics = None
    scene.servers[0].refusal = "no"
    scene.servers[1].is_stubborn = True
    await scene.says(2, 0, 1)

    await scene.run(2)

    assert [s.version for s in scene.follower.servers] == [1, 1, 2]


async def test_files_that_arrive_late_are_no_failure_of_the_loop() -> None:
    scene = await verified_scene()
    scene.around.health.expect(scene.follower.name, timedelta(seconds=5))
    scene.servers[0].is_stubborn = True
    await scene.says(2, 0, 1)

    await scene.run(15)

    assert scene.around.health.report().ready
    scene.servers[0].refusal = "no"
    await scene.run(6)
    assert not scene.around.health.report().ready
