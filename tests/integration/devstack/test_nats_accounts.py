"""The generated accounts on real servers: what each user may do, and what it may not."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig

from devstack.children import Program
from devstack.conditions import wait_until
from devstack.endpoints import NatsEndpoint
from devstack.nats_nodes import node_config
from devstack.ports import choose_ports
from devstack.processes import open_supervisor
from devstack.programs import find_nats_server
from devstack.registry import Registry
from svc_core.adapters.files import publish_directory
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    CANARY,
    GATEKEEPER,
    METADATA,
    OPERATOR,
    WATCHER_SYS,
)
from svc_core.domain.subjects import DURABLES, STREAMS
from tests.integration.background import complete
from tests.integration.bare_stack import DEPLOYMENT, RunningCluster

PATIENCE_S = 0.4
TOLD_WITHIN_S = 5.0
ELECTION_S = 30.0
NO_PEERS_YET = 10005
"""What the leader says until it has heard from every node."""
DECLARED_DIFFERENTLY = 10058
"""A test before this one declared it as Metadata does, which is good enough."""


class User:
    """One connected NATS user and what the servers complained about."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self._told = asyncio.Event()
        self.client: Client

    async def complain(self, err: Exception) -> None:
        self.violations.append(str(err).lower())
        self._told.set()

    @property
    def js(self) -> JetStreamContext:
        return self.client.jetstream(timeout=PATIENCE_S)

    async def is_refused(self, subject: str) -> bool:
        await self.client.publish(subject, b"x", reply=self.client.new_inbox())
        return await self._is_told(f'publish to "{subject.lower()}"')

    async def may_not_hear(self, subject: str) -> bool:
        await self.client.subscribe(subject)
        return await self._is_told(f'subscription to "{subject.lower()}"')

    async def _is_told(self, text: str) -> bool:
        try:
            async with asyncio.timeout(TOLD_WITHIN_S):
                while not any(text in violation for violation in self.violations):
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def connected(cluster: RunningCluster, account: str) -> AsyncIterator[User]:
    user = User()
    user.client = await nats.connect(
        list(cluster.settings.servers),
        tls=cluster.context(account),
        tls_handshake_first=True,
        inbox_prefix=f"_INBOX_{account}",
        error_cb=user.complain,
        allow_reconnect=False,
        connect_timeout=3,
    )
    try:
        yield user
    finally:
        await user.client.close()


async def every_varz(sys: User) -> list[dict[str, Any]]:
    """Return the state of every server that answers, three or more."""
    inbox = await sys.client.subscribe(reply := sys.client.new_inbox())
    await sys.client.publish("$SYS.REQ.SERVER.PING.VARZ", b"", reply=reply)
    servers = [json.loads((await inbox.next_msg(timeout=2)).data) for _ in range(3)]
    try:
        servers.append(json.loads((await inbox.next_msg(timeout=PATIENCE_S)).data))
    except NatsTimeoutError:
        return servers
    return servers


async def declare(cluster: RunningCluster) -> None:
    """Declare every stream and durable as Metadata, until the cluster has elected its leader."""
    async with connected(cluster, METADATA) as metadata, asyncio.timeout(ELECTION_S):
        js = metadata.client.jetstream(timeout=5)
        for spec in STREAMS:
            config = StreamConfig(
                name=spec.name,
                subjects=list(spec.subjects),
                retention=RetentionPolicy.LIMITS,
                max_bytes=spec.max_bytes,
                discard=DiscardPolicy.NEW if spec.keeps_old else DiscardPolicy.OLD,
                max_msg_size=spec.max_message,
                max_msgs_per_subject=spec.max_per_subject,
                num_replicas=3,
                allow_direct=True,
                deny_delete=not spec.deletable,
                deny_purge=True,
            )
            while True:
                try:
                    await js.add_stream(config)
                    break
                except (NatsTimeoutError, nats.js.errors.ServiceUnavailableError):
                    continue
                except nats.js.errors.BadRequestError as err:
                    if err.err_code == NO_PEERS_YET:
                        continue
                    if err.err_code != DECLARED_DIFFERENTLY:
                        raise
                    break
        for durable in DURABLES:
            await js.add_consumer(
                durable.stream,
                ConsumerConfig(
                    name=durable.name,
                    durable_name=durable.name,
                    filter_subject=durable.filter_subject,
                    ack_policy=AckPolicy.EXPLICIT,
                ),
            )


@pytest.fixture(scope="module")
def declared(nats_cluster: RunningCluster) -> RunningCluster:
    complete(lambda: declare(nats_cluster))
    return nats_cluster


async def test_a_request_reaches_its_consumer_and_the_answer_comes_back(
    declared: RunningCluster,
) -> None:
    async with connected(declared, GATEKEEPER) as gk, connected(declared, AUTHCONTROLLER) as ac:
        await gk.js.publish("auth.auth-request", b"request", timeout=2)
        requests = await ac.js.pull_subscribe_bind("auth-requests", "AUTH_STREAM")
        (request,) = await requests.fetch(1, timeout=2)
        await request.ack_sync(timeout=2)
        await ac.js.publish("gatekeeper.responder", b"answer", timeout=2)
        answers = await gk.js.pull_subscribe_bind(
            "gatekeeper-responder-consumer", "GATEKEEPER_STREAM"
        )
        (answer,) = await answers.fetch(1, timeout=2)
        await answer.ack_sync(timeout=2)

        assert (request.data, answer.data) == (b"request", b"answer")
        assert gk.violations + ac.violations == []


async def test_every_service_can_say_its_status_and_metadata_reads_all_of_them_at_once(
    declared: RunningCluster,
) -> None:
    for account in (GATEKEEPER, AUTHCONTROLLER, "watcher", METADATA):
        async with connected(declared, account) as user:
            await user.js.publish(f"$KV.rotation-status.{account}.i1", b"ok", timeout=2)
            assert user.violations == []
    async with connected(declared, METADATA) as metadata:
        inbox = await metadata.client.subscribe(reply := metadata.client.new_inbox())
        query = json.dumps({"multi_last": ["$KV.rotation-status.>"]}).encode()
        await metadata.client.publish("$JS.API.DIRECT.GET.KV_rotation-status", query, reply=reply)
        statuses = [await inbox.next_msg(timeout=2) for _ in range(4)]

    assert [m.data for m in statuses] == [b"ok"] * 4


async def answered(user: User, subject: str, payload: bytes) -> Msg:
    """Ask until the other nodes know who answers."""
    for _ in range(20):
        with contextlib.suppress(NoRespondersError):
            return await user.client.request(subject, payload, timeout=2)
        await asyncio.sleep(0.1)
    raise AssertionError("nobody answers")


async def heard(subscription: Subscription, say: Callable[[], Awaitable[None]]) -> Msg:
    """Say it until it is heard: a flush does not wait for the other nodes to learn of interest."""
    for _ in range(20):
        await say()
        with contextlib.suppress(NatsTimeoutError):
            return await subscription.next_msg(timeout=0.25)
    raise AssertionError("never heard")


async def test_a_service_gets_the_last_ca_message_and_is_woken_by_a_new_one(
    declared: RunningCluster,
) -> None:
    async with connected(declared, METADATA) as metadata, connected(declared, GATEKEEPER) as gk:
        wake = await gk.client.subscribe("metadata.client.ca-cert")
        push = await gk.client.subscribe("metadata.bundle-push.svc-gatekeeper")
        await gk.client.flush()

        async def announce() -> None:
            await metadata.js.publish("metadata.client.ca-cert", b"desired", timeout=2)

        async def hint() -> None:
            await metadata.client.publish("metadata.bundle-push.svc-gatekeeper", b"hint")

        await heard(wake, announce)
        await heard(push, hint)
        last = await gk.js.get_last_msg(
            "METADATA_CA_CLIENT", "metadata.client.ca-cert", direct=True
        )

        assert last.data == b"desired"
        assert metadata.violations + gk.violations == []


async def test_a_bundle_request_is_answered_across_accounts(declared: RunningCluster) -> None:
    async with connected(declared, METADATA) as metadata, connected(declared, GATEKEEPER) as gk:

        async def answer(request: Msg) -> None:
            await request.respond(b"bundle for " + request.data)

        await metadata.client.subscribe(
            "metadata.bundle-pull.svc-metadata", queue="metadata-workers", cb=answer
        )
        await metadata.client.flush()
        reply = await answered(gk, "metadata.bundle-pull.svc-metadata", b"gk")

        assert reply.data == b"bundle for gk"


@pytest.mark.parametrize(
    "subject",
    [
        "metadata.client.ca-cert",
        "metadata.bundle-push.svc-authcontroller",
        "gatekeeper.responder",
        "dlq.authcontroller",
        "dlq.operator",
        "$JS.API.DIRECT.GET.DEAD_LETTERS",
        "$JS.API.STREAM.MSG.GET.DEAD_LETTERS",
        "$JS.API.STREAM.MSG.DELETE.DEAD_LETTERS",
        "$KV.rotation-status.watcher.i1",
        "$JS.API.CONSUMER.MSG.NEXT.AUTH_STREAM.auth-requests",
        "$JS.API.CONSUMER.CREATE.GATEKEEPER_STREAM.gatekeeper-responder-consumer",
        "$JS.API.STREAM.CREATE.EVIL",
        "$JS.API.STREAM.DELETE.GATEKEEPER_STREAM",
        "$JS.API.STREAM.PURGE.GATEKEEPER_STREAM",
        "$JS.API.DIRECT.GET.KV_rotation-status",
        "$SYS.REQ.SERVER.PING.VARZ",
        "_INBOX_authcontroller.x",
    ],
)
async def test_a_service_may_not_publish_what_is_not_its_own(
    declared: RunningCluster, subject: str
) -> None:
    async with connected(declared, GATEKEEPER) as gk:
        assert await gk.is_refused(subject)


@pytest.mark.parametrize(
    "subject",
    ["auth.auth-request", "_INBOX.>", "_INBOX_metadata.>", "$KV.>", "$SYS.>", "$JS.>", ">"],
)
async def test_a_service_may_not_hear_what_is_not_its_own(
    declared: RunningCluster, subject: str
) -> None:
    async with connected(declared, GATEKEEPER) as gk:
        assert await gk.may_not_hear(subject)


async def test_the_reply_subject_of_a_request_cannot_be_used_to_publish(
    declared: RunningCluster,
) -> None:
    async with connected(declared, GATEKEEPER) as gk, connected(declared, METADATA) as metadata:
        await metadata.js.publish("metadata.client.ca-cert", b"true", timeout=2)
        await gk.js.publish("$KV.rotation-status.gatekeeper.i9", b"forged", timeout=2)
        own = "$JS.API.DIRECT.GET.KV_rotation-status.$KV.rotation-status.gatekeeper.i9"
        await gk.client.publish(own, b"", reply="metadata.client.ca-cert")
        await gk.client.flush()
        # A later message of the same connection proves that the forgery has been processed.
        await gk.js.publish("$KV.rotation-status.gatekeeper.i8", b"later", timeout=2)
        last = await metadata.js.get_last_msg(
            "METADATA_CA_CLIENT", "metadata.client.ca-cert", direct=True
        )

        assert last.data == b"true"


async def test_the_canary_connects_and_can_do_nothing(declared: RunningCluster) -> None:
    async with connected(declared, CANARY) as canary:
        assert await canary.is_refused("auth.auth-request")
        assert await canary.is_refused("metadata.bundle-pull.svc-metadata")
        assert await canary.may_not_hear("metadata.client.ca-cert")


async def test_metadata_may_neither_delete_nor_purge(declared: RunningCluster) -> None:
    async with connected(declared, METADATA) as metadata:
        assert await metadata.is_refused("$JS.API.STREAM.DELETE.AUTH_STREAM")
        assert await metadata.is_refused("$JS.API.STREAM.PURGE.AUTH_STREAM")
        assert await metadata.is_refused("$KV.rotation-status.watcher.i1")


@pytest.mark.parametrize(
    "subject",
    [
        "dlq.gatekeeper",
        "metadata.client.ca-cert",
        "metadata.bundle-pull.svc-metadata",
        "metadata.bundle-push.svc-gatekeeper",
        "$KV.rotation-status.operator.i1",
        "$JS.API.DIRECT.GET.AUTH_STREAM",
        "$JS.API.STREAM.MSG.GET.AUTH_STREAM",
        "$JS.API.STREAM.MSG.DELETE.AUTH_STREAM",
        "$JS.API.STREAM.PURGE.DEAD_LETTERS",
        "$JS.API.STREAM.DELETE.DEAD_LETTERS",
        "$JS.API.STREAM.UPDATE.DEAD_LETTERS",
        "$JS.API.CONSUMER.CREATE.DEAD_LETTERS",
        "$JS.API.CONSUMER.MSG.NEXT.AUTH_STREAM.auth-requests",
        "$JS.ACK.AUTH_STREAM.auth-requests.1.1.1.1.0",
        "$SYS.REQ.SERVER.PING.VARZ",
    ],
)
async def test_the_operator_may_not_publish_beyond_its_letters(
    declared: RunningCluster, subject: str
) -> None:
    async with connected(declared, OPERATOR) as operator:
        assert await operator.is_refused(subject)


@pytest.mark.parametrize("subject", ["auth.auth-request", "dlq.>", "metadata.>", "_INBOX.>", ">"])
async def test_the_operator_hears_nothing_but_its_answers(
    declared: RunningCluster, subject: str
) -> None:
    async with connected(declared, OPERATOR) as operator:
        assert await operator.may_not_hear(subject)


async def test_watcher_sys_reloads_every_server_and_nothing_else(declared: RunningCluster) -> None:
    async with connected(declared, WATCHER_SYS) as sys:
        servers = await every_varz(sys)
        reloads = [
            json.loads(
                (
                    await sys.client.request(
                        f"$SYS.REQ.SERVER.{s['server']['id']}.RELOAD", b"", timeout=3
                    )
                ).data
            )
            for s in servers
        ]

        assert {s["server"]["name"] for s in servers} == {"n1", "n2", "n3"}
        assert all("error" not in reload for reload in reloads)
        assert await sys.is_refused("auth.auth-request")
        assert await sys.is_refused("$SYS.REQ.CLAIMS.UPDATE")


async def test_a_server_with_a_services_leaf_cannot_join_the_cluster(
    declared: RunningCluster, tmp_path: Path
) -> None:
    first = Path(declared.endpoints.nats[0].live_dir).parent
    before = (first / "nats.log").stat().st_size
    intruder = _intruder(declared, tmp_path)

    async with open_supervisor(
        Registry(tmp_path / "stack.json"), keep=False, announce=lambda _: None
    ) as supervisor:
        supervisor.start(intruder)

        async def is_answered() -> bool:
            return "TLS route handshake error" in _read(first / "nats.log")[before:]

        await wait_until(is_answered, within=timedelta(seconds=15), part="a refusal")
        async with connected(declared, WATCHER_SYS) as sys:
            members = {server["server"]["name"] for server in await every_varz(sys)}

    assert "certificate signed by unknown authority" in _read(first / "nats.log")[before:]
    assert members == {"n1", "n2", "n3"}


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _intruder(cluster: RunningCluster, directory: Path) -> Program:
    """A node that knows the cluster's configuration, but holds Gatekeeper's certificate only."""
    ports = choose_ports(["x", "r"], remembered={}, base_port=None, seed=str(directory))
    live = directory / "live"
    endpoint = NatsEndpoint(
        "intruder", f"tls://127.0.0.1:{ports['x']}", ports["r"], str(directory / "pid"), str(live)
    )
    stolen = cluster.materials[GATEKEEPER]
    theirs = Path(cluster.endpoints.nats[0].live_dir)
    publish_directory(
        live,
        {
            "ca.pem": stolen.trust_pem.encode(),
            "route-ca.pem": (theirs / "route-ca.pem").read_bytes(),
            "server.pem": stolen.chain_pem.encode(),
            "server-key.pem": stolen.key_pem.reveal(),
            "route.pem": stolen.chain_pem.encode(),
            "route-key.pem": stolen.key_pem.reveal(),
            "accounts.conf": (theirs / "accounts.conf").read_bytes(),
        },
    )
    nodes = (endpoint, *cluster.endpoints.nats)
    (directory / "js").mkdir()
    (directory / "nats.conf").write_text(node_config(directory, endpoint, nodes, DEPLOYMENT))
    return Program(
        name="intruder",
        argv=(str(find_nats_server()), "-c", str(directory / "nats.conf")),
        log_file=directory / "output.log",
        directory=directory,
        environment={},
        stage=0,
        stop_within=timedelta(seconds=2),
    )


async def test_a_client_without_a_certificate_is_refused(declared: RunningCluster) -> None:
    context = ssl.create_default_context(
        cadata=declared.materials[GATEKEEPER].trust_pem,
    )
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    with pytest.raises((ssl.SSLError, OSError, nats.errors.Error)):
        await nats.connect(
            declared.settings.servers[0],
            tls=context,
            tls_handshake_first=True,
            allow_reconnect=False,
            connect_timeout=2,
        )
