"""How often a key seals, and when that is enough."""

import pytest

from svc_core.domain.key_usage import MESSAGES_PER_KEY, KeyUsage
from svc_core.domain.keys import TopicKey
from svc_core.domain.subjects import AUTH_REQUEST, RESPONDER
from svc_core.errors import Disposition, KeyExhaustedError
from tests.builders import DEMO, NOW, KeyAuthority

EPOCH = DEMO.keys.current(NOW)
EXPIRY = DEMO.keys.expires(EPOCH)
AUTHORITY = KeyAuthority()
KEY = AUTHORITY.topic_key(AUTH_REQUEST, EPOCH)


def spent(limit: int = 3) -> KeyUsage:
    usage = KeyUsage(limit)
    for _ in range(limit):
        usage.charge(KEY)
    return usage


def test_each_seal_is_counted() -> None:
    usage = KeyUsage()

    usage.charge(KEY)
    usage.charge(KEY)

    assert usage.used(KEY) == 2


@pytest.mark.parametrize("limit", [1, 3])
def test_a_key_seals_as_often_as_the_limit_and_not_once_more(limit: int) -> None:
    usage = spent(limit)

    with pytest.raises(KeyExhaustedError, match=f"has sealed {limit} messages"):
        usage.charge(KEY)
    assert usage.used(KEY) == limit


def test_an_exhausted_key_is_worth_another_try_later() -> None:
    assert KeyExhaustedError.disposition is Disposition.RETRY
    assert KeyExhaustedError.code == "key.exhausted"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(AUTHORITY.topic_key(AUTH_REQUEST, EPOCH, generation=1), id="generation"),
        pytest.param(AUTHORITY.topic_key(AUTH_REQUEST, EPOCH.next()), id="epoch"),
        pytest.param(AUTHORITY.topic_key(RESPONDER, EPOCH), id="topic"),
    ],
)
def test_every_key_has_a_limit_of_its_own(other: TopicKey) -> None:
    usage = spent()

    usage.charge(other)

    assert usage.used(other) == 1


def test_the_count_lives_as_long_as_its_key() -> None:
    usage = spent()

    usage.prune(EXPIRY - DEMO.keys.period)
    assert usage.used(KEY) == 3

    usage.prune(EXPIRY)
    assert (usage.used(KEY), len(usage)) == (0, 0)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one message"):
        KeyUsage(0)


def test_the_bound_holds_for_a_million_processes_at_the_limit() -> None:
    """The birthday bound of a 256-bit salt and a 96-bit IV that repeat together."""
    messages = MESSAGES_PER_KEY << 20

    assert messages**2 * 2**249 <= 2**353
