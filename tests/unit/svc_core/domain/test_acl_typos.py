"""A topic that is probably misspelt is noticed by what is missing on the other side."""

from svc_core.domain.acl import Roles, acl_from_roles
from svc_core.domain.acl_entries import Severity
from svc_core.domain.acl_typos import misspelt_topics
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER

KNOWN = frozenset({GATEKEEPER, AUTHCONTROLLER})


def likely(roles: Roles) -> list[tuple[str, str, int, str]]:
    """Return service, list, place in it and reason of every remark."""
    acl, _ = acl_from_roles(roles, known=KNOWN)
    remarks = misspelt_topics(acl, roles)
    assert {remark.severity for remark in remarks} <= {Severity.DOUBTFUL}
    return [(r.service, r.verb, r.index, r.finding.reason) for r in remarks]


def test_both_ends_of_a_misspelling_are_named() -> None:
    roles: Roles = {
        GATEKEEPER: {"publish": ["a.b", "auth.auth-request"]},
        AUTHCONTROLLER: {"subscribe": ["auth.auth-requst", "a.b"]},
    }

    assert likely(roles) == [
        (
            GATEKEEPER,
            "publish",
            1,
            "nobody consumes auth.auth-request (did you mean auth.auth-requst?)",
        ),
        (
            AUTHCONTROLLER,
            "subscribe",
            0,
            "nobody publishes on auth.auth-requst (did you mean auth.auth-request?)",
        ),
    ]


def test_a_topic_that_stands_alone_is_no_misspelling() -> None:
    roles: Roles = {
        GATEKEEPER: {"publish": ["auth.request"]},
        AUTHCONTROLLER: {"subscribe": ["billing"]},
    }

    assert likely(roles) == []


def test_similar_topics_that_are_complete_are_none_either() -> None:
    topics = ["auth.request-1", "auth.request-2"]

    assert likely({GATEKEEPER: {"publish": topics, "subscribe": topics}}) == []


def test_the_authoritys_own_subjects_are_not_judged() -> None:
    roles: Roles = {
        GATEKEEPER: {"publish": ["metadata.bundle-pull"], "subscribe": ["metadata.bundle-pul"]}
    }

    assert likely(roles) == []


def test_where_everything_stands_alone_nothing_is_said() -> None:
    roles: Roles = {
        GATEKEEPER: {"publish": [f"out.topic-{n}" for n in range(200)]},
        AUTHCONTROLLER: {"subscribe": [f"out.topik-{n}" for n in range(200)]},
    }

    assert likely(roles) == []
