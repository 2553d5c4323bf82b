"""Neither a secret-id nor a token is left, not even one that was made meanwhile with the other."""

import pytest

from services.metadata.flows.access_ending import AccessEnding, Ended
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName
from svc_core.errors import SecretStoreError
from tests.fakes.memory_access import MemoryAccess, MemoryTokens


def ending(access: MemoryAccess) -> AccessEnding:
    return AccessEnding(access, MemoryTokens(access))


async def test_everything_of_the_service_is_ended_and_nothing_of_another() -> None:
    other = (AUTHCONTROLLER, "a")
    access = MemoryAccess(
        {(GATEKEEPER, "g1"), (GATEKEEPER, "g2"), other}, {(GATEKEEPER, "t"), other}
    )

    assert await ending(access).end(GATEKEEPER) == Ended(secret_ids=2, tokens=1)
    assert access.secret_ids == access.tokens == {other}


async def test_what_a_thief_makes_meanwhile_is_ended_too() -> None:
    access = MemoryAccess({(GATEKEEPER, "g")}, {(GATEKEEPER, "t")}, makes=3)

    ended = await ending(access).end(GATEKEEPER)

    assert access.secret_ids == access.tokens == set()
    assert ended.secret_ids > 1


async def test_with_nothing_left_there_is_nothing_to_end() -> None:
    assert await ending(MemoryAccess()).end(GATEKEEPER) == Ended(0, 0)


async def test_who_can_go_on_making_them_is_reported() -> None:
    class Endless(MemoryAccess):
        async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
            return frozenset({f"another of {service}"})

    with pytest.raises(SecretStoreError, match="keeps making"):
        await ending(Endless()).end(GATEKEEPER)
