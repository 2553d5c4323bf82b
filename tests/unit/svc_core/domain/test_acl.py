from svc_core.domain.acl import Acl, AclWarning, ServicePermissions, acl_from_roles
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, WATCHER, ServiceName, Subject
from svc_core.domain.keys import TopicPermission

REQUESTS = Subject("auth.auth-request")
ANSWERS = Subject("gatekeeper.responder")
KNOWN = frozenset({GATEKEEPER, AUTHCONTROLLER, WATCHER})


def parse(roles: dict[str, dict[str, list[str]]]) -> tuple[Acl, tuple[AclWarning, ...]]:
    return acl_from_roles(roles, known=KNOWN)


def pair() -> Acl:
    acl, _ = parse(
        {
            GATEKEEPER: {"publish": [REQUESTS], "subscribe": [ANSWERS]},
            AUTHCONTROLLER: {"publish": [ANSWERS], "subscribe": [REQUESTS]},
        }
    )
    return acl


def test_a_manifest_becomes_permissions() -> None:
    acl, warnings = parse({GATEKEEPER: {"publish": [REQUESTS], "subscribe": [ANSWERS]}})

    assert not warnings
    assert acl.services == {
        GATEKEEPER: ServicePermissions(frozenset({REQUESTS}), frozenset({ANSWERS}))
    }


def test_a_service_that_names_no_topic_may_do_nothing() -> None:
    acl, warnings = parse({WATCHER: {}})

    assert not warnings
    assert acl.permissions(WATCHER) == ()
    assert acl.topics == frozenset()


def test_permissions_are_sorted_and_say_both_directions() -> None:
    acl, _ = parse({GATEKEEPER: {"publish": ["b", "a"], "subscribe": ["b"]}})

    assert acl.permissions(GATEKEEPER) == (
        TopicPermission(Subject("a"), produce=True, consume=False),
        TopicPermission(Subject("b"), produce=True, consume=True),
    )


def test_an_unknown_service_may_do_nothing() -> None:
    assert pair().permissions(ServiceName("stranger")) == ()


def test_producers_are_those_that_may_publish() -> None:
    assert pair().producers(REQUESTS) == {GATEKEEPER}
    assert pair().producers(Subject("nobody.says")) == frozenset()


def test_topics_are_everyones() -> None:
    assert pair().topics == {REQUESTS, ANSWERS}


def test_wildcards_and_strangers_get_a_warning_and_nothing_else() -> None:
    acl, warnings = parse(
        {
            GATEKEEPER: {"publish": ["auth.>", REQUESTS], "subscribe": ["*.x"]},
            "stranger": {"publish": [REQUESTS]},
        }
    )

    assert acl.services == {GATEKEEPER: ServicePermissions(frozenset({REQUESTS}), frozenset())}
    assert warnings == (
        AclWarning(GATEKEEPER, "auth.>", "wildcard or illegal subject"),
        AclWarning(GATEKEEPER, "*.x", "wildcard or illegal subject"),
        AclWarning("stranger", "*", "not a service of this deployment"),
    )
