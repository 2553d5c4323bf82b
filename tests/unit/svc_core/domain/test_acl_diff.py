"""What changes between two ACLs: completely, exactly, and in the same order every time."""

from random import Random  # noqa: TID251 (Hypothesis draws it)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.acl import Acl, ServicePermissions, acl_from_roles
from svc_core.domain.acl_diff import AclDiff, TopicRight, apply_diff, diff_acls
from svc_core.domain.desired import TopicGrant
from svc_core.domain.identity import (
    AUTHCONTROLLER,
    GATEKEEPER,
    METADATA,
    WATCHER,
    Deployment,
    Subject,
)
from svc_core.domain.nats_accounts import render_accounts
from svc_core.domain.subjects import AUTH_REQUEST, CA_CERT, RESPONDER, is_data_topic
from tests.unit.svc_core.domain.acl_examples import SERVICES, acls

KNOWN = frozenset(SERVICES)


def acl_of(roles: dict[str, dict[str, list[str]]]) -> Acl:
    return acl_from_roles(roles, known=KNOWN)[0]


BEFORE = acl_of(
    {
        GATEKEEPER: {"publish": [AUTH_REQUEST], "subscribe": [RESPONDER]},
        AUTHCONTROLLER: {"publish": [RESPONDER], "subscribe": [AUTH_REQUEST]},
        WATCHER: {"subscribe": [CA_CERT]},
    }
)


def test_a_new_topic_touches_who_may_use_it() -> None:
    after = acl_of(
        {
            GATEKEEPER: {"publish": [AUTH_REQUEST, "billing"], "subscribe": [RESPONDER]},
            AUTHCONTROLLER: {"publish": [RESPONDER], "subscribe": [AUTH_REQUEST, "billing"]},
            WATCHER: {"subscribe": [CA_CERT]},
        }
    )

    assert diff_acls(BEFORE, after) == AclDiff(
        granted=(
            TopicRight(AUTHCONTROLLER, Subject("billing"), "subscribe"),
            TopicRight(GATEKEEPER, Subject("billing"), "publish"),
        ),
        topics_added=(Subject("billing"),),
        bundles=(AUTHCONTROLLER, GATEKEEPER),
    )


def test_a_right_that_is_withdrawn_rolls_the_topic_for_everybody_on_it() -> None:
    three = acl_of(
        {
            GATEKEEPER: {"publish": [AUTH_REQUEST], "subscribe": [RESPONDER]},
            AUTHCONTROLLER: {"publish": [RESPONDER], "subscribe": [AUTH_REQUEST]},
            WATCHER: {"subscribe": [CA_CERT, AUTH_REQUEST]},
        }
    )

    diff = diff_acls(three, BEFORE)

    assert diff == AclDiff(
        withdrawn=(TopicRight(WATCHER, AUTH_REQUEST, "subscribe"),),
        topics_to_roll=(AUTH_REQUEST,),
        bundles=(AUTHCONTROLLER, GATEKEEPER, WATCHER),
        nats_users=(WATCHER,),
    )
    assert diff.keys_to_make == (AUTH_REQUEST,)


def test_a_service_that_goes_takes_its_rights_and_its_topics_along() -> None:
    after = acl_of(
        {
            AUTHCONTROLLER: {"publish": [RESPONDER], "subscribe": [AUTH_REQUEST]},
            WATCHER: {"subscribe": [CA_CERT]},
        }
    )

    diff = diff_acls(BEFORE, after)

    assert diff.services_removed == (GATEKEEPER,)
    assert diff.withdrawn == (
        TopicRight(GATEKEEPER, AUTH_REQUEST, "publish"),
        TopicRight(GATEKEEPER, RESPONDER, "subscribe"),
    )
    assert diff.topics_to_roll == (AUTH_REQUEST, RESPONDER)
    assert diff.bundles == (AUTHCONTROLLER,)
    assert diff.nats_users == (GATEKEEPER,)


def test_a_topic_nobody_has_any_more_is_rolled_and_needs_no_key_now() -> None:
    diff = diff_acls(acl_of({GATEKEEPER: {"publish": ["billing"]}}), acl_of({GATEKEEPER: {}}))

    assert (diff.topics_removed, diff.topics_to_roll) == (("billing",), ("billing",))
    assert diff.keys_to_make == ()


def test_the_authoritys_own_subjects_have_no_keys_and_change_nothing_but_permissions() -> None:
    diff = diff_acls(acl_of({WATCHER: {"subscribe": [CA_CERT]}}), acl_of({WATCHER: {}}))

    assert diff == AclDiff(
        withdrawn=(TopicRight(WATCHER, CA_CERT, "subscribe"),), topics_removed=(CA_CERT,)
    )
    assert not diff.is_empty


def test_a_service_without_a_topic_is_a_change_too() -> None:
    diff = diff_acls(acl_of({}), acl_of({WATCHER: {}}))

    assert diff == AclDiff(services_added=(WATCHER,), bundles=(WATCHER,), nats_users=(WATCHER,))
    assert not diff.is_empty


@given(acls)
def test_nothing_changes_from_an_acl_to_itself(acl: Acl) -> None:
    assert diff_acls(acl, acl) == AclDiff()


@given(acls, acls)
def test_a_diff_leads_from_one_to_the_other(before: Acl, after: Acl) -> None:
    diff = diff_acls(before, after)

    assert apply_diff(before, diff) == after
    assert diff.is_empty == (before == after)


@given(acls, acls)
def test_the_way_back_is_the_same_way(before: Acl, after: Acl) -> None:
    there, back = diff_acls(before, after), diff_acls(after, before)

    assert (there.granted, there.withdrawn) == (back.withdrawn, back.granted)
    assert (there.topics_added, there.services_added) == (
        back.topics_removed,
        back.services_removed,
    )
    assert there.nats_users == back.nats_users


@given(acls, acls, st.randoms(use_true_random=False))
def test_the_order_of_a_manifest_does_not_matter(before: Acl, after: Acl, chance: Random) -> None:
    def shuffled(acl: Acl) -> Acl:
        names = list(acl.services)
        chance.shuffle(names)
        return Acl({name: acl.services[name] for name in names})

    assert diff_acls(shuffled(before), shuffled(after)) == diff_acls(before, after)


@given(acls, acls)
def test_whoever_loses_a_right_makes_the_topic_roll(before: Acl, after: Acl) -> None:
    rolled = set(diff_acls(before, after).topics_to_roll)

    for service, old in before.services.items():
        new = after.services.get(service, ServicePermissions(frozenset(), frozenset()))
        lost = (old.publish - new.publish) | (old.subscribe - new.subscribe)
        assert {topic for topic in lost if is_data_topic(topic)} <= rolled


@given(acls, acls)
def test_the_nats_users_are_those_whose_account_differs(before: Acl, after: Acl) -> None:
    (old_text, old), (new_text, new) = accounts(before), accounts(after)

    differ = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}

    assert set(old) >= {METADATA, "canary", "watcher-sys"}
    assert set(diff_acls(before, after).nats_users) == differ
    assert (old_text == new_text) == (not differ)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(diff_acls(acl_of({}), BEFORE), id="adds what is there"),
        pytest.param(AclDiff(services_removed=(METADATA,)), id="removes who is not there"),
        pytest.param(
            AclDiff(granted=(TopicRight(GATEKEEPER, AUTH_REQUEST, "publish"),)),
            id="grants what is granted",
        ),
        pytest.param(
            AclDiff(withdrawn=(TopicRight(GATEKEEPER, CA_CERT, "publish"),)),
            id="withdraws what is not granted",
        ),
    ],
)
def test_a_diff_of_another_acl_is_refused(other: AclDiff) -> None:
    with pytest.raises(ValueError, match="another ACL"):
        apply_diff(BEFORE, other)


def accounts(acl: Acl) -> tuple[str, dict[str, str]]:
    """Return the accounts that follow from ``acl``, whole and by user."""
    grants = {
        service: TopicGrant(tuple(sorted(p.publish)), tuple(sorted(p.subscribe)))
        for service, p in acl.services.items()
    }
    text = render_accounts(grants, Deployment())
    blocks = [block.partition("\n    ]")[0] for block in text.split("{ user: ")[1:]]
    return text, {block.partition('"\n')[0].rpartition("/")[2]: block for block in blocks}
