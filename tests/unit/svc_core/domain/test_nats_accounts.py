"""The generated accounts as text; what they do on real servers is tested beside the local stack."""

import re

import pytest

from svc_core.domain.desired import TopicGrant
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    WATCHER,
    Deployment,
    ServiceName,
    Subject,
)
from svc_core.domain.nats_accounts import render_accounts
from svc_core.domain.subjects import AUTH_REQUEST, BUNDLE_PULL, CA_CERT, RESPONDER, STREAMS

DEPLOYMENT = Deployment("example.test", "blue")
GRANTS = {
    METADATA: TopicGrant((CA_CERT,), (BUNDLE_PULL,)),
    WATCHER: TopicGrant((BUNDLE_PULL,), (CA_CERT,)),
    GATEKEEPER: TopicGrant((AUTH_REQUEST,), (RESPONDER,)),
    AUTHCONTROLLER: TopicGrant((RESPONDER,), (AUTH_REQUEST,)),
}
ACCOUNTS = ("HUB", "GATEKEEPER", "AUTHCONTROLLER", "WATCHER", "OPERATOR", "CANARY", "SYS")
READS_LETTERS = re.compile(r"(DIRECT\.GET|MSG\.GET|MSG\.NEXT|CONSUMER\.CREATE)\S*DEAD_LETTERS")
NO_GRANTS = TopicGrant((), ())


def account(text: str, name: str) -> str:
    """Return the block of one account."""
    found = re.search(rf"^  {name} \{{$.*?^  \}}$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no account {name}"
    return found[0]


def allowed(block: str, verb: str) -> list[str]:
    """Return what the only user of an account may publish or subscribe to."""
    found = re.search(rf"{verb} \{{ allow: \[(.*?)\] \}}", block, re.DOTALL)
    assert found is not None
    return re.findall(r'"(.*?)"', found[1])


def publishes(text: str, name: str) -> list[str]:
    return allowed(account(text, name), "publish")


def test_the_text_depends_on_the_grants_only_and_not_on_their_order() -> None:
    backwards = dict(reversed(list(GRANTS.items())))

    assert render_accounts(GRANTS, DEPLOYMENT) == render_accounts(backwards, DEPLOYMENT)


def test_every_user_is_a_spiffe_id_of_the_deployment() -> None:
    text = render_accounts(GRANTS, DEPLOYMENT)

    assert sorted(re.findall(r'user: "(.*?)"', text)) == sorted(
        DEPLOYMENT.spiffe_id(user)
        for user in (
            "metadata",
            "watcher",
            "gatekeeper",
            "authcontroller",
            "watcher-sys",
            "canary",
            "operator",
        )
    )
    assert text.endswith("system_account: SYS\n")


def test_a_service_may_do_exactly_what_is_its_own() -> None:
    block = account(render_accounts(GRANTS, DEPLOYMENT), "GATEKEEPER")

    assert set(allowed(block, "publish")) == {
        "$JS.API.DIRECT.GET.METADATA_CA_CLIENT.metadata.client.ca-cert",
        "metadata.bundle-pull.svc-metadata",
        "$KV.rotation-status.gatekeeper.*",
        "$JS.API.DIRECT.GET.KV_rotation-status.$KV.rotation-status.gatekeeper.*",
        "dlq.gatekeeper",
        "auth.auth-request",
        "$JS.ACK.GATEKEEPER_STREAM.gatekeeper-responder-consumer.>",
        "$JS.API.CONSUMER.MSG.NEXT.GATEKEEPER_STREAM.gatekeeper-responder-consumer",
    }
    assert set(allowed(block, "subscribe")) == {
        "_INBOX_gatekeeper.>",
        "metadata.client.ca-cert",
        "metadata.bundle-push.svc-gatekeeper",
    }


def test_a_service_imports_what_it_may_publish_or_hear_and_nothing_else() -> None:
    for name in ("GATEKEEPER", "AUTHCONTROLLER", "WATCHER"):
        block = account(render_accounts(GRANTS, DEPLOYMENT), name)
        services = re.findall(r'service: \{ account: HUB, subject: "(.*?)" \}', block)
        streams = re.findall(r'stream: \{ account: HUB, subject: "(.*?)" \}', block)

        assert services == allowed(block, "publish")
        assert streams == [s for s in allowed(block, "subscribe") if not s.startswith("_INBOX")]


def test_hub_exports_each_subject_once_to_those_who_import_it() -> None:
    hub = account(render_accounts(GRANTS, DEPLOYMENT), "HUB")
    exports = re.findall(r'(?:service|stream): "(.*?)".*?accounts: \[(.*?)\]', hub)

    assert (
        dict(exports)["metadata.bundle-pull.svc-metadata"] == "AUTHCONTROLLER, GATEKEEPER, WATCHER"
    )
    assert dict(exports)["auth.auth-request"] == "GATEKEEPER, OPERATOR"
    assert dict(exports)["dlq.gatekeeper"] == "GATEKEEPER"
    assert len(exports) == len(set(exports))


def test_only_pulls_are_answered_by_more_than_one_message() -> None:
    hub = account(render_accounts(GRANTS, DEPLOYMENT), "HUB")
    streaming = re.findall(r'service: "(.*?)", response_type: stream', hub)

    assert streaming == [
        "$JS.API.CONSUMER.MSG.NEXT.AUTH_STREAM.auth-requests",
        "$JS.API.CONSUMER.MSG.NEXT.GATEKEEPER_STREAM.gatekeeper-responder-consumer",
        "$JS.API.DIRECT.GET.DEAD_LETTERS",
    ]


def test_nobody_may_delete_purge_or_say_everything() -> None:
    text = render_accounts(GRANTS, DEPLOYMENT)

    assert not re.search(r"STREAM\.(DELETE|PURGE)|CONSUMER\.DELETE", text)
    assert '">"' not in text


def test_only_the_operator_may_remove_messages_and_only_dead_letters() -> None:
    text = render_accounts(GRANTS, DEPLOYMENT)
    hub, operator = account(text, "HUB"), account(text, "OPERATOR")

    assert "MSG.DELETE" not in text.replace(hub, "").replace(operator, "")
    assert re.findall(r'"\S*MSG\.DELETE.*', hub) == [
        '"$JS.API.STREAM.MSG.DELETE.DEAD_LETTERS", accounts: [OPERATOR] }'
    ]
    assert re.findall(r'"\S*MSG\.DELETE.*', operator) == [
        '"$JS.API.STREAM.MSG.DELETE.DEAD_LETTERS" }, to: "dead-letters.remove" }'
    ]


def test_the_operator_reads_letters_says_them_again_and_hears_nothing() -> None:
    block = account(render_accounts(GRANTS, DEPLOYMENT), "OPERATOR")

    assert set(allowed(block, "publish")) == {
        "dlq.operator",
        "dead-letters.remove",
        "$JS.API.DIRECT.GET.DEAD_LETTERS",
        "auth.auth-request",
        "gatekeeper.responder",
    }
    assert allowed(block, "subscribe") == ["_INBOX_operator.>"]


def test_nobody_but_the_operator_reads_dead_letters() -> None:
    text = render_accounts(GRANTS, DEPLOYMENT)
    readers = [name for name in ACCOUNTS if READS_LETTERS.search(" ".join(publishes(text, name)))]

    assert readers == ["OPERATOR"]


def test_only_metadata_may_create_streams_and_consumers() -> None:
    text = render_accounts(GRANTS, DEPLOYMENT)
    creating = re.findall(r"STREAM\.CREATE\.(\S+?)\"", text)

    assert creating == [stream.name for stream in STREAMS]
    for name in ("GATEKEEPER", "AUTHCONTROLLER", "WATCHER", "CANARY", "SYS"):
        assert ".CREATE." not in account(text, name)


def test_the_canary_has_its_inbox_and_no_imports() -> None:
    canary = account(render_accounts(GRANTS, DEPLOYMENT), "CANARY")

    assert allowed(canary, "publish") == allowed(canary, "subscribe") == ["_INBOX_canary.>"]
    assert "imports" not in canary


@pytest.mark.parametrize(
    "topic",
    [
        pytest.param(Subject("orders.created"), id="a topic without a stream"),
        pytest.param(CA_CERT, id="the CA message"),
        pytest.param(BUNDLE_PULL, id="bundle requests"),
    ],
)
def test_what_is_no_data_topic_is_not_granted_by_the_acl(topic: Subject) -> None:
    plain = render_accounts({GATEKEEPER: NO_GRANTS}, DEPLOYMENT)

    assert render_accounts({GATEKEEPER: TopicGrant((topic,), (topic,))}, DEPLOYMENT) == plain


def test_a_service_without_grants_has_no_account_and_metadata_always_has() -> None:
    text = render_accounts({GATEKEEPER: NO_GRANTS}, DEPLOYMENT)

    assert "AUTHCONTROLLER" not in text
    assert DEPLOYMENT.spiffe_id(METADATA) in account(text, "HUB")


def test_metadata_uses_a_data_topic_without_leaving_its_account() -> None:
    own = {METADATA: TopicGrant((AUTH_REQUEST,), (AUTH_REQUEST,))}
    publishes = allowed(account(render_accounts(own, DEPLOYMENT), "HUB"), "publish")

    assert "auth.auth-request" in publishes
    assert "$JS.API.CONSUMER.MSG.NEXT.AUTH_STREAM.auth-requests" in publishes
    assert "$JS.ACK.AUTH_STREAM.auth-requests.>" in publishes


@pytest.mark.parametrize("name", ["hub", "sys", "canary", "operator"])
def test_a_service_cannot_take_the_account_of_someone_else(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        render_accounts({ServiceName(name): NO_GRANTS}, DEPLOYMENT)


def test_a_trust_domain_cannot_smuggle_text_into_the_configuration() -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        render_accounts(GRANTS, Deployment('x" } ] } }', "default"))
