"""The one truth is read from wherever it can be had, and never goes back."""

import asyncio
from dataclasses import replace

import pytest

from svc_core.domain.subjects import CA_CERT, DESIRED_PATH
from svc_core.errors import (
    AccessDeniedError,
    BusError,
    Disposition,
    ProfileMismatchError,
    SecretStoreError,
    SvcError,
    UntrustedAnswerError,
)
from svc_core.flows.desired_reading import DesiredReader
from svc_core.ports.bus import StoredMessage
from tests.authority import Authority, make_author, without_threads
from tests.builders import DEMO
from tests.fakes.memory_bus import MemoryBus


class LostBus(MemoryBus):
    async def fetch_last(self, stream: str, topic: str) -> StoredMessage | None:
        raise BusError("not connected to NATS")


@pytest.fixture
async def authority() -> Authority:
    without_threads()
    return Authority()


@pytest.fixture
def reader(authority: Authority) -> DesiredReader:
    return DesiredReader(authority.store, authority.bus, authority.statements, DEMO.name)


async def version_read(reader: DesiredReader) -> int:
    state = await reader.read()
    return 0 if state is None else state.version


async def test_nothing_is_said_yet(reader: DesiredReader) -> None:
    assert await reader.read() is None


async def test_the_bus_is_asked_first_because_it_is_near(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.say(authority.state(4, 100))

    assert await version_read(reader) == 4
    assert authority.store.fetched == []


async def test_without_a_bus_the_store_answers(authority: Authority) -> None:
    await authority.say(authority.state(4, 100))
    reader = DesiredReader(authority.store, None, authority.statements, DEMO.name)

    assert await version_read(reader) == 4


async def test_a_state_never_goes_back(authority: Authority, reader: DesiredReader) -> None:
    await authority.say(authority.state(4, 100))
    await reader.read()

    await authority.publish_state(authority.state(3, 99))

    assert await version_read(reader) == 4
    assert reader.newest is not None
    assert reader.newest.active == "ca-100-1"


async def test_an_equal_version_of_another_content_changes_nothing(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.say(authority.state(4, 100))
    await reader.read()

    await authority.publish_state(authority.state(4, 101))

    await reader.read()
    assert reader.newest is not None
    assert reader.newest.active == "ca-100-1"


async def test_a_hint_that_is_ahead_of_the_bus_is_followed_to_the_store(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.say(authority.state(4, 100))
    await authority.store_state(authority.state(5, 101, 100))

    state = await reader.read_hinted(above=4)

    assert state is not None
    assert state.version == 5


async def test_a_hint_the_bus_already_bears_out_does_not_ask_the_store(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.say(authority.state(5, 100))

    await reader.read_hinted(above=4)

    assert authority.store.fetched == []


@pytest.mark.parametrize(
    "payload", [b"", b"garbage", b"E1 cut off"], ids=["empty", "garbage", "cut"]
)
async def test_what_is_no_document_on_the_bus_leads_to_the_store(
    authority: Authority, reader: DesiredReader, payload: bytes
) -> None:
    await authority.store_state(authority.state(4, 100))
    await authority.bus.publish(CA_CERT, payload, message_id="x")

    assert await version_read(reader) == 4


@pytest.mark.parametrize("signer_id", ["mallory", "metadata-1"], ids=["unpinned", "forged"])
async def test_a_state_on_the_bus_that_is_not_the_authoritys_leads_to_the_store(
    authority: Authority, reader: DesiredReader, signer_id: str
) -> None:
    impostor = make_author("mallory")
    impostor.id = signer_id
    await authority.store_state(authority.state(4, 100))
    await authority.publish_state(authority.state(9, 666), author=impostor)

    assert await version_read(reader) == 4


async def test_a_state_in_the_store_that_is_not_the_authoritys_is_no_reason_to_die(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.store_state(authority.state(9, 666), author=make_author("mallory"))

    with pytest.raises(UntrustedAnswerError) as refusal:
        await reader.read()

    assert refusal.value.disposition is Disposition.RETRY
    assert reader.newest is None


async def test_damage_in_the_store_is_no_reason_to_die(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.store.store(DESIRED_PATH, {"document": "?"}, expected_version=0)

    with pytest.raises(UntrustedAnswerError):
        await reader.read()


async def test_another_profile_is_refused_with_both_names(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.say(replace(authority.state(4, 100), profile="production"))

    with pytest.raises(ProfileMismatchError, match="'demo' here but 'production'"):
        await reader.read()


async def test_neither_bus_nor_store_is_a_matter_of_waiting(authority: Authority) -> None:
    authority.bus = LostBus()
    reader = DesiredReader(authority.store, authority.bus, authority.statements, DEMO.name)
    authority.store.failure = SecretStoreError("OpenBao did not answer in time")

    with pytest.raises(SecretStoreError):
        await reader.read()


async def test_what_was_announced_last_does_not_hide_for_ever_what_is_stored(
    authority: Authority, reader: DesiredReader
) -> None:
    await authority.say(authority.state(4, 100))
    await authority.store_state(authority.state(5, 101, 100))

    versions = [await version_read(reader) for _ in range(10)]

    # Whoever announces may be kept from NATS while connections of others live on.
    assert versions[0] == 4
    assert versions[-1] == 5


@pytest.mark.parametrize(
    "failure",
    [SecretStoreError("OpenBao did not answer in time"), AccessDeniedError("revoked")],
    ids=["away", "refused"],
)
async def test_as_long_as_the_bus_answers_nobody_depends_on_the_store(
    authority: Authority, reader: DesiredReader, failure: SvcError
) -> None:
    await authority.say(authority.state(4, 100))
    authority.store.failure = failure

    assert {await version_read(reader) for _ in range(50)} == {4}


class FrozenBus(MemoryBus):
    """A broker whose replica that was asked never answers."""

    async def fetch_last(self, stream: str, topic: str) -> StoredMessage | None:
        await asyncio.Event().wait()
        raise AssertionError("woken by nobody")


async def test_a_replica_that_never_answers_is_waited_for_half_a_second(
    authority: Authority,
) -> None:
    await authority.store_state(authority.state(3, 100))
    reader = DesiredReader(authority.store, FrozenBus(), authority.statements, DEMO.name)

    async with asyncio.timeout(0.6):
        desired = await reader.read()

    assert desired is not None
    assert desired.version == 3
