"""What somebody gets who holds files of the stack and a NATS client, and what not.

Every refusal stands between two proofs that the same client could do what it may.
"""

import json
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Final

import nats
import pytest
from nats.errors import TimeoutError as NatsTimeoutError

from svc_core.domain.identity import AUTHCONTROLLER, CANARY, GATEKEEPER, WATCHER, WATCHER_SYS
from tests.e2e.intruder import open_intruder
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.outsider import (
    ACCEPTED,
    UNKNOWN_CA,
    Identity,
    as_service,
    connected,
    of_service,
    refusal,
    tls_context,
    urls,
)
from tests.e2e.stolen import (
    Theft,
    TrustedIssuer,
    forge_identity,
    logged_in,
    take_leaf,
    trusted_issuers,
)
from tests.e2e.waiting import until

MINUTE: Final = timedelta(minutes=1)

SAYS: Final = (
    "metadata.client.ca-cert",
    "metadata.bundle-push.svc-authcontroller",
    "metadata.bundle-push.svc-gatekeeper",
    "gatekeeper.responder",
    "dlq.authcontroller",
    "$KV.rotation-status.watcher.w1",
    "$KV.rotation-status.metadata.metadata-1",
    "_INBOX_authcontroller.x",
    "_INBOX_metadata.x",
    "$SYS.REQ.SERVER.PING.VARZ",
    "$SYS.REQ.CLAIMS.UPDATE",
)
TAKES: Final = (
    "$JS.API.CONSUMER.MSG.NEXT.AUTH_STREAM.auth-requests",
    "$JS.ACK.AUTH_STREAM.auth-requests.1.1.1.1.0",
    "$JS.API.STREAM.MSG.GET.AUTH_STREAM",
    "$JS.API.DIRECT.GET.AUTH_STREAM",
    "$JS.API.DIRECT.GET.KV_rotation-status",
    "$JS.API.DIRECT.GET.KV_rotation-status.$KV.rotation-status.watcher.w1",
    "$JS.API.STREAM.CREATE.EVIL",
    "$JS.API.STREAM.UPDATE.GATEKEEPER_STREAM",
    "$JS.API.STREAM.DELETE.AUTH_STREAM",
    "$JS.API.STREAM.PURGE.GATEKEEPER_STREAM",
    "$JS.API.CONSUMER.CREATE.GATEKEEPER_STREAM.evil.gatekeeper.responder",
    "$JS.API.CONSUMER.DURABLE.CREATE.GATEKEEPER_STREAM.evil",
    "$JS.API.CONSUMER.DELETE.GATEKEEPER_STREAM.gatekeeper-responder-consumer",
    "$JS.API.STREAM.LEADER.STEPDOWN.AUTH_STREAM",
    "$JS.API.META.LEADER.STEPDOWN",
)
HEARS: Final = (
    "auth.auth-request",
    "gatekeeper.responder",
    "metadata.bundle-pull.svc-metadata",
    "metadata.bundle-push.svc-authcontroller",
    "_INBOX_authcontroller.>",
    "_INBOX.>",
    "$KV.>",
    "$JS.>",
    "$SYS.>",
    "*.*",
    ">",
)


@pytest.fixture
def issuer(stack: LoadedStack) -> TrustedIssuer:
    """The trusted issuer that lives longest."""
    return trusted_issuers(stack.layout.trust_file)[-1]


async def test_a_stolen_leaf_is_good_for_as_long_as_its_issuer_is_trusted(theft: Theft) -> None:
    assert theft.issuer.name in [i.name for i in trusted_issuers(theft.stack.layout.trust_file)]
    assert await theft.refusals() == [ACCEPTED] * 3
    assert not any(connection.client.is_closed for connection in theft.connections)


async def test_only_a_leaf_of_a_trusted_issuer_gets_through_the_handshake(
    stack: LoadedStack, issuer: TrustedIssuer, tmp_path: Path
) -> None:
    trust, own = stack.layout.trust_file, of_service(stack.layout, GATEKEEPER)
    live = Path(stack.stack.endpoints.nats[0].live_dir).resolve()
    server = Identity(live / "server.pem", live / "server-key.pem")
    route = Identity(live / "route.pem", live / "route-key.pem")
    forged = forge_identity(GATEKEEPER, issuer, tmp_path)
    old = tls_context(trust, own)
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    for url in urls(stack.layout):
        answers = {
            "nobody": await refusal(url, tls_context(trust, None)),
            "a CA of the same name": await refusal(url, tls_context(trust, forged)),
            "a route's leaf": await refusal(url, tls_context(trust, route)),
            "a server's leaf": await refusal(url, tls_context(trust, server)),
            "TLS 1.2": await refusal(url, old),
            "its own leaf": await refusal(url, tls_context(trust, own)),
        }
        assert answers == {
            "nobody": "TLSV13_ALERT_CERTIFICATE_REQUIRED",
            "a CA of the same name": UNKNOWN_CA,
            "a route's leaf": UNKNOWN_CA,
            "a server's leaf": "SSLV3_ALERT_BAD_CERTIFICATE",
            "TLS 1.2": "TLSV1_ALERT_PROTOCOL_VERSION",
            "its own leaf": ACCEPTED,
        }


async def test_a_nats_client_without_a_good_certificate_cannot_connect(
    stack: LoadedStack, issuer: TrustedIssuer, tmp_path: Path
) -> None:
    trust = stack.layout.trust_file
    for identity in (None, forge_identity(GATEKEEPER, issuer, tmp_path)):
        with pytest.raises((ssl.SSLError, OSError, nats.errors.Error)):
            async with connected(urls(stack.layout)[0], tls_context(trust, identity), GATEKEEPER):
                pass

    async with as_service(stack.layout, GATEKEEPER) as gatekeeper:
        assert (await gatekeeper.read_ca_message()).data


@pytest.mark.parametrize("subjects", [SAYS, TAKES], ids=["say", "take"])
async def test_gatekeepers_certificate_publishes_nothing_that_is_not_gatekeepers(
    stack: LoadedStack, subjects: tuple[str, ...]
) -> None:
    async with as_service(stack.layout, GATEKEEPER) as gatekeeper:
        assert (await gatekeeper.read_ca_message()).data
        inbox = await gatekeeper.client.subscribe(answers := gatekeeper.client.new_inbox())

        allowed = [s for s in subjects if await gatekeeper.may_publish(s, reply=answers)]

        assert allowed == []
        with pytest.raises(NatsTimeoutError):
            await inbox.next_msg(timeout=0.3)
        assert await gatekeeper.may_publish("dlq.gatekeeper", b"control", reply=answers)
        assert b'"stream"' in (await inbox.next_msg(timeout=3)).data
        assert (await gatekeeper.read_ca_message()).data


async def test_gatekeepers_certificate_hears_nothing_that_is_not_gatekeepers(
    stack: LoadedStack,
) -> None:
    async with as_service(stack.layout, GATEKEEPER) as gatekeeper:
        assert await gatekeeper.may_subscribe("metadata.client.ca-cert")

        allowed = [s for s in HEARS if await gatekeeper.may_subscribe(s)]
        grouped = await gatekeeper.may_subscribe(
            "metadata.bundle-pull.svc-metadata", queue="metadata-workers"
        )

        assert (allowed, grouped) == ([], False)
        assert await gatekeeper.may_subscribe("metadata.bundle-push.svc-gatekeeper")
        assert (await gatekeeper.read_ca_message()).data


async def test_authcontrollers_certificate_can_neither_ask_nor_take_answers(
    stack: LoadedStack,
) -> None:
    subjects = (
        "auth.auth-request",
        "$JS.API.CONSUMER.MSG.NEXT.GATEKEEPER_STREAM.gatekeeper-responder-consumer",
        "metadata.client.ca-cert",
        "$KV.rotation-status.gatekeeper.g1",
        "dlq.gatekeeper",
    )
    async with as_service(stack.layout, AUTHCONTROLLER) as authcontroller:
        assert (await authcontroller.read_ca_message()).data
        allowed = [s for s in subjects if await authcontroller.may_publish(s)]
        assert allowed == []
        assert (await authcontroller.read_ca_message()).data


async def test_the_server_publishes_nothing_on_behalf_of_a_service(stack: LoadedStack) -> None:
    own = "$KV.rotation-status.gatekeeper.outsider"
    read_own = f"$JS.API.DIRECT.GET.KV_rotation-status.{own}"
    async with (
        as_service(stack.layout, GATEKEEPER) as gatekeeper,
        as_service(stack.layout, AUTHCONTROLLER) as authcontroller,
    ):
        heard = await authcontroller.client.subscribe("metadata.client.ca-cert")
        await authcontroller.client.flush()
        await gatekeeper.client.request(own, b"FORGED", timeout=3)
        assert (await gatekeeper.client.request(read_own, b"", timeout=3)).data == b"FORGED"

        for target in ("metadata.client.ca-cert", "$KV.rotation-status.watcher.w1"):
            # Reply subjects are not checked against what a client may publish.
            await gatekeeper.may_publish(read_own, b"", reply=target)
        assert (await gatekeeper.client.request(read_own, b"", timeout=3)).data == b"FORGED"

        assert b"FORGED" not in (await gatekeeper.read_ca_message()).data
        await authcontroller.client.flush()
        while heard.pending_msgs:
            assert (await heard.next_msg(timeout=1)).data != b"FORGED"


async def test_what_an_outsider_says_as_gatekeeper_is_refused_by_its_signature(
    stack: LoadedStack,
) -> None:
    assert stack.order is not None
    before = stack.traffic(stack.order)
    async with as_service(stack.layout, GATEKEEPER) as gatekeeper:
        ack = await gatekeeper.client.request("auth.auth-request", b"no signature", timeout=3)
        assert b'"stream":"AUTH_STREAM"' in ack.data.replace(b" ", b"")

    def is_refused() -> bool:
        assert stack.order is not None
        rejected = stack.traffic(stack.order).rejected
        return sum(rejected.values()) == sum(before.rejected.values()) + 1

    await until(is_refused, within_s=10, what="the refusal of an unsigned request")


async def test_the_canary_can_do_nothing(
    stack: LoadedStack, issuer: TrustedIssuer, tmp_path: Path
) -> None:
    async with logged_in(stack, WATCHER) as watcher:
        canary = await take_leaf(watcher, CANARY, issuer, tmp_path, ttl=MINUTE)
    context = tls_context(stack.layout.trust_file, canary)
    said = (*SAYS, *TAKES, "auth.auth-request", "metadata.bundle-pull.svc-metadata", "dlq.canary")
    heard = (*HEARS, "metadata.client.ca-cert")

    async with connected(urls(stack.layout)[1], context, CANARY) as outsider:
        inbox = await outsider.client.subscribe(own := outsider.client.new_inbox())
        assert await outsider.may_publish(own, b"control")
        assert (await inbox.next_msg(timeout=3)).data == b"control"

        assert [s for s in said if await outsider.may_publish(s)] == []
        assert [s for s in heard if await outsider.may_subscribe(s)] == []

        assert await outsider.may_publish(own, b"control")


@pytest.mark.parametrize("whose", [GATEKEEPER, "n1"])
@pytest.mark.timeout(90)
async def test_a_server_with_a_certificate_of_clients_cannot_join_the_cluster(
    stack: LoadedStack, issuer: TrustedIssuer, tmp_path: Path, whose: str
) -> None:
    nodes = stack.stack.endpoints.nats
    live = Path(nodes[0].live_dir).resolve()
    shown = of_service(stack.layout, GATEKEEPER)
    if whose == nodes[0].name:
        shown = Identity(live / "server.pem", live / "server-key.pem")
    logs = {node.name: stack.layout.node(node.name) / "nats.log" for node in nodes}
    begins = {name: log.stat().st_size for name, log in logs.items()}

    def all_refused() -> bool:
        said = [log.read_bytes()[begins[name] :] for name, log in logs.items()]
        return all(b"TLS route handshake error" in text for text in said)

    async with open_intruder(stack, shown, tmp_path) as intruder:
        await until(all_refused, within_s=20, what="a refusal by every node")
        assert await intruder.routes() == []
        assert await members(stack, issuer, tmp_path) == {"n1", "n2", "n3"}
    refused = b"".join(log.read_bytes()[begins[name] :] for name, log in logs.items())
    assert b"unknown authority" in refused


async def members(stack: LoadedStack, issuer: TrustedIssuer, folder: Path) -> set[str]:
    """Return the names of the servers that answer to the system account."""
    async with logged_in(stack, WATCHER) as watcher:
        sys = await take_leaf(watcher, WATCHER_SYS, issuer, folder, ttl=MINUTE)
    context = tls_context(stack.layout.trust_file, sys)
    found: set[str] = set()
    async with connected(urls(stack.layout)[0], context, WATCHER_SYS) as outsider:
        inbox = await outsider.client.subscribe(answers := outsider.client.new_inbox())
        await outsider.client.publish("$SYS.REQ.SERVER.PING.VARZ", b"", reply=answers)
        try:
            while True:
                answer = json.loads((await inbox.next_msg(timeout=1)).data)
                found.add(answer["server"]["name"])
        except NatsTimeoutError:
            return found
