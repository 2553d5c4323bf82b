"""What a key may do at the edges of its life, and between clocks that differ."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.domain.epochs import Epoch
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.key_states import KeyState, is_young_enough_to_seal, state_at
from svc_core.domain.keys import KeyRing, topic_key_id
from svc_core.domain.profiles import PROFILES, RotationProfile
from svc_core.domain.subjects import AUTH_REQUEST
from svc_core.errors import KeyExpiredError
from svc_core.flows.admission import choose_sealing_keys
from tests.builders import DEMO, NOW, KeyAuthority

MOMENT = timedelta(microseconds=1)
PERIOD = DEMO.keys.period
END = NOW + DEMO.keys.validity
ORDER = list(KeyState)
every_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def state(now: datetime, *, is_newest: bool = True) -> KeyState:
    return state_at(now, not_before=NOW, not_after=END, is_newest=is_newest)


@pytest.mark.parametrize(
    ("now", "newest", "superseded"),
    [
        pytest.param(NOW - MOMENT, KeyState.STAGED, KeyState.STAGED, id="before its epoch"),
        pytest.param(NOW, KeyState.PRIMARY, KeyState.DECRYPT_ONLY, id="first moment"),
        pytest.param(
            NOW + PERIOD - MOMENT, KeyState.PRIMARY, KeyState.DECRYPT_ONLY, id="last of its epoch"
        ),
        pytest.param(NOW + PERIOD, KeyState.DECRYPT_ONLY, KeyState.DECRYPT_ONLY, id="next epoch"),
        pytest.param(
            END - MOMENT, KeyState.DECRYPT_ONLY, KeyState.DECRYPT_ONLY, id="last of its life"
        ),
        pytest.param(END, KeyState.DESTROYED, KeyState.DESTROYED, id="life is over"),
    ],
)
def test_each_state_has_its_time(now: datetime, newest: KeyState, superseded: KeyState) -> None:
    assert state(now, is_newest=True) is newest
    assert state(now, is_newest=False) is superseded


@given(
    st.lists(st.timedeltas(timedelta(0), 6 * PERIOD), min_size=2).map(sorted),
    st.integers(0, 20),
)
def test_states_only_move_forward(instants: list[timedelta], superseded_from: int) -> None:
    states = [
        state(NOW - PERIOD + instant, is_newest=turn < superseded_from)
        for turn, instant in enumerate(instants)
    ]

    assert all(ORDER.index(a) <= ORDER.index(b) for a, b in pairwise(states))


@pytest.mark.parametrize(
    ("now", "may"),
    [
        (NOW - MOMENT, False),
        (NOW, True),
        (NOW + 3 * PERIOD - MOMENT, True),
        (NOW + 3 * PERIOD, False),
    ],
)
def test_a_key_may_seal_in_the_first_three_periods_of_its_life(now: datetime, may: bool) -> None:
    assert is_young_enough_to_seal(now, not_before=NOW, not_after=END) is may


def rings(profile: RotationProfile, *epochs: int) -> tuple[KeyRing, KeyRing]:
    """Return what a sender and a receiver hold, if they hold ``epochs`` counted from `NOW`'s."""
    authority, first = KeyAuthority(profile), profile.keys.current(NOW).number
    held = [Epoch(first + epoch) for epoch in epochs]
    sender = authority.ring(GATEKEEPER, epochs=held)
    return sender, authority.ring(AUTHCONTROLLER, epochs=held)


def opens(receiver: KeyRing, key_id: str, now: datetime) -> bool:
    try:
        return receiver.opening_key(AUTH_REQUEST, key_id, now=now).key_id == key_id
    except KeyExpiredError:
        return False


@every_profile
def test_a_message_of_the_last_four_epochs_opens_and_of_the_fifth_does_not(
    profile: RotationProfile,
) -> None:
    _, receiver = rings(profile, -4, -3, -2, -1, 0)
    current = profile.keys.current(NOW)
    starts = profile.keys.starts(current)
    ids = [topic_key_id(AUTH_REQUEST, Epoch(current.number - age)) for age in range(5)]

    for now in (starts, starts + profile.keys.period - MOMENT):
        assert [opens(receiver, key_id, now) for key_id in ids] == [True] * 4 + [False]
    assert opens(receiver, ids[4], starts - MOMENT)


@every_profile
def test_a_sender_ahead_by_the_whole_skew_is_understood_before_the_boundary(
    profile: RotationProfile,
) -> None:
    sender, receiver = rings(profile, 0, 1)
    boundary = profile.keys.starts(profile.keys.current(NOW).next())
    receivers_clock = boundary - profile.skew

    sealing = choose_sealing_keys(sender, AUTH_REQUEST, schedule=profile.keys, now=boundary)
    opening = receiver.opening_key(AUTH_REQUEST, sealing.topic_key.key_id, now=receivers_clock)

    assert receiver.state_of(opening, now=receivers_clock) is KeyState.STAGED


@every_profile
def test_a_receiver_ahead_by_the_whole_skew_opens_what_the_fallback_sealed_last(
    profile: RotationProfile,
) -> None:
    sender, receiver = rings(profile, 0)
    starts = profile.keys.starts(profile.keys.current(NOW))
    last_sealing = starts + 3 * profile.keys.period - MOMENT

    sealing = choose_sealing_keys(sender, AUTH_REQUEST, schedule=profile.keys, now=last_sealing)

    assert opens(receiver, sealing.topic_key.key_id, last_sealing + profile.skew)


@every_profile
def test_the_skew_costs_the_oldest_messages_that_much_of_their_time(
    profile: RotationProfile,
) -> None:
    _, receiver = rings(profile, 0)
    epoch = profile.keys.current(NOW)
    key_id = topic_key_id(AUTH_REQUEST, epoch)
    senders_clock = profile.keys.expires(epoch) - profile.skew

    assert opens(receiver, key_id, senders_clock + profile.skew - MOMENT)
    assert not opens(receiver, key_id, senders_clock + profile.skew)
