import pytest

from svc_core.domain.acl import Acl, AclRemark, ServicePermissions, acl_from_roles, nearest
from svc_core.domain.acl_entries import Severity
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, WATCHER, ServiceName, Subject
from svc_core.domain.keys import TopicPermission

REQUESTS = Subject("auth.auth-request")
ANSWERS = Subject("gatekeeper.responder")
KNOWN = frozenset({GATEKEEPER, AUTHCONTROLLER, WATCHER})


def parse(roles: dict[str, dict[str, list[str]]]) -> tuple[Acl, tuple[AclRemark, ...]]:
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
    acl, remarks = parse({GATEKEEPER: {"publish": [REQUESTS], "subscribe": [ANSWERS]}})

    assert not remarks
    assert acl.services == {
        GATEKEEPER: ServicePermissions(frozenset({REQUESTS}), frozenset({ANSWERS}))
    }


def test_a_service_that_names_no_topic_may_do_nothing() -> None:
    acl, remarks = parse({WATCHER: {}})

    assert not remarks
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


def test_an_acl_does_not_change_with_what_it_was_made_of() -> None:
    services = dict(pair().services)
    acl = Acl(services)

    del services[GATEKEEPER]

    assert acl == pair()
    with pytest.raises(TypeError):
        acl.services[GATEKEEPER] = services[AUTHCONTROLLER]  # type: ignore[index]


def test_wildcards_and_strangers_are_remarked_on_and_get_nothing() -> None:
    acl, remarks = parse(
        {
            GATEKEEPER: {"publish": ["auth.>", REQUESTS], "subscribe": ["*.x"]},
            "gatekeper": {"publish": [REQUESTS], "subscribe": ["$JS.API.>"]},
        }
    )

    assert acl.services == {GATEKEEPER: ServicePermissions(frozenset({REQUESTS}), frozenset())}
    assert {remark.severity for remark in remarks} == {Severity.IGNORED}
    assert [(r.service, r.verb, r.index, r.entry) for r in remarks] == [
        ("gatekeper", "", -1, ""),
        (GATEKEEPER, "publish", 0, "auth.>"),
        (GATEKEEPER, "subscribe", 0, "*.x"),
        ("gatekeper", "subscribe", 0, "$JS.API.>"),
    ]
    assert "(did you mean gatekeeper?)" in remarks[0].finding.reason


def test_an_entry_that_comes_again_is_doubtful_and_granted_once() -> None:
    acl, remarks = parse({GATEKEEPER: {"publish": ["a", "b", "a"], "subscribe": ["a"]}})

    assert acl.services[GATEKEEPER].publish == {"a", "b"}
    assert [(r.severity, r.verb, r.index) for r in remarks] == [(Severity.DOUBTFUL, "publish", 2)]


def test_an_illegal_subject_is_an_error_and_not_granted() -> None:
    acl, remarks = parse({GATEKEEPER: {"publish": ["a..b"]}})

    assert acl.topics == frozenset()
    assert [r.severity for r in remarks] == [Severity.ERROR]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("watcher2", " (did you mean watcher?)"),
        ("authcontroler", " (did you mean authcontroller?)"),
        ("stranger", ""),
    ],
)
def test_the_nearest_name_is_named_when_there_is_one(name: str, hint: str) -> None:
    assert nearest(name, KNOWN) == hint
