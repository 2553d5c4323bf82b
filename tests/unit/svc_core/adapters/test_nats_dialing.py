"""Which server is called first, and how long one that does not shake hands is waited for."""

import asyncio
import ssl
from typing import ClassVar, cast

import pytest

from svc_core.adapters.nats_dialing import Dialer, NatsUser
from svc_core.adapters.nats_link import LinkCredentials, LinkTarget, NatsLink
from svc_core.config import NatsSettings
from svc_core.domain.identity import GATEKEEPER
from svc_core.errors import AccessDeniedError, BusError, TlsMaterialError

SERVERS = ("tls://a:1", "tls://b:1", "tls://c:1")
A, B, C = SERVERS
HEAD_START_S = 1.5
FOREVER_S = 3600.0
CREDENTIALS = LinkCredentials(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "ca-1-1", "")


class DialedLink(NatsLink):
    """A link that each server lets be opened, or not, in its own way."""

    called: ClassVar[list[str]] = []
    aborted: ClassVar[list[str]] = []
    frozen: ClassVar[set[str]] = set()
    refusing: ClassVar[set[str]] = set()

    def __init__(self, target: LinkTarget) -> None:
        self._target = target

    @classmethod
    async def open(cls, target: LinkTarget) -> "DialedLink":
        cls.called.append(target.url)
        if target.url in cls.frozen:
            await asyncio.sleep(FOREVER_S)
        if target.url in cls.refusing:
            raise AccessDeniedError(target.url)
        return cls(target)

    def abort(self) -> None:
        self.aborted.append(self.url)


@pytest.fixture(autouse=True)
def _afresh() -> None:
    for seen in (DialedLink.called, DialedLink.aborted, DialedLink.frozen, DialedLink.refusing):
        seen.clear()


def make_dialer(*, start: int = 0) -> Dialer:
    return Dialer(
        NatsSettings(servers=SERVERS),
        NatsUser(GATEKEEPER, "g"),
        lambda: CREDENTIALS,
        lambda size: bytes([start] * size),
        DialedLink,
    )


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_swap_stays_on_its_server_and_calls_nobody_else() -> None:
    assert (await make_dialer().stay(B)).url == B
    assert DialedLink.called == [B]


async def test_a_swap_goes_elsewhere_when_its_server_does_not_shake_hands() -> None:
    DialedLink.frozen |= {B}

    found = await make_dialer().stay(B)

    assert found.url in {A, C}
    assert now() == pytest.approx(HEAD_START_S)


@pytest.mark.parametrize(("start", "first"), [(0, A), (1, B), (2, C), (3, A)])
async def test_who_comes_first_is_drawn(start: int, first: str) -> None:
    assert (await make_dialer(start=start).anywhere()).url == first


async def test_who_has_fallen_silent_comes_last() -> None:
    DialedLink.refusing |= {B, C}

    assert (await make_dialer().anywhere(last=A)).url == A
    assert DialedLink.called == [B, C, A]


async def test_whoever_refuses_is_passed_over_at_once() -> None:
    DialedLink.refusing |= {A, B}

    assert (await make_dialer().anywhere()).url == C
    assert now() == 0


async def test_when_everybody_refuses_that_is_the_error() -> None:
    DialedLink.refusing |= set(SERVERS)

    with pytest.raises(AccessDeniedError):
        await make_dialer().anywhere()


async def test_elsewhere_is_everybody_else() -> None:
    assert set(make_dialer(start=1).elsewhere(B)) == {A, C}


async def test_one_is_that_one() -> None:
    assert (await make_dialer().one(C)).url == C
    assert DialedLink.called == [C]


async def test_without_a_certificate_nobody_is_called() -> None:
    def none() -> LinkCredentials:
        raise TlsMaterialError("none yet")

    dialer = Dialer(
        NatsSettings(servers=SERVERS), NatsUser(GATEKEEPER, "g"), none, bytes, DialedLink
    )

    with pytest.raises(TlsMaterialError):
        await dialer.anywhere()
    assert DialedLink.called == []


async def test_a_link_that_comes_too_late_is_not_left_open() -> None:
    class Stubborn(DialedLink):
        @classmethod
        async def open(cls, target: LinkTarget) -> "DialedLink":
            if target.url == A:
                try:
                    await asyncio.sleep(FOREVER_S)
                except asyncio.CancelledError:
                    return cls(target)
            return cls(target)

    dialer = Dialer(
        NatsSettings(servers=SERVERS),
        NatsUser(GATEKEEPER, "g"),
        lambda: CREDENTIALS,
        bytes,
        cast(type[NatsLink], Stubborn),
    )

    assert (await dialer.anywhere()).url == B
    assert DialedLink.aborted == [A]


async def test_a_server_that_cannot_be_reached_is_a_bus_error() -> None:
    class Unreachable(DialedLink):
        @classmethod
        async def open(cls, target: LinkTarget) -> "DialedLink":
            raise BusError(target.url)

    dialer = Dialer(
        NatsSettings(servers=(A,)),
        NatsUser(GATEKEEPER, "g"),
        lambda: CREDENTIALS,
        bytes,
        Unreachable,
    )

    with pytest.raises(BusError, match=A):
        await dialer.stay(A)
