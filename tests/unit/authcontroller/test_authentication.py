"""Each request has its effect once, whatever is delivered how often and whoever dies when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER
from svc_core.domain.journal_records import RecordKind
from svc_core.domain.subjects import (
    AUTH_DURABLE,
    AUTH_REQUEST,
    AUTH_STREAM,
    RESPONDER,
    dead_letters,
)
from svc_core.errors import BusError
from svc_core.ports.bus import Binding
from svc_core.runtime.supervision import Loop
from svc_core.wire import auth
from tests.builders import make_channel
from tests.fakes.clock import START
from tests.load_services import LoadServices


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(loop.run())
        yield
        task.cancel()


async def ask(services: LoadServices, *request_ids: str) -> None:
    sender = services.sender()
    await sender.users.prepare()
    for index, request_id in enumerate(request_ids):
        await sender.send(request_id, index, due_at=START)


async def test_a_request_gets_one_response_under_an_id_made_from_its_own() -> None:
    services = LoadServices()
    await ask(services, "run-boot1-0")

    async with running(services.authenticator()):
        await asyncio.sleep(1)

    (stored,) = services.bus.stored(RESPONDER)
    message = await make_channel(GATEKEEPER, services.clock).open(stored.payload, RESPONDER)
    response = auth.decode_response(message.payload)
    assert (message.message_id, message.signer) == ("run-boot1-0:response", AUTHCONTROLLER)
    assert response.account_status == "ACTIVE"
    assert services.answered.ids(RecordKind.HANDLED) == ["run-boot1-0"]


async def test_a_request_that_comes_again_is_acknowledged_and_nothing_else() -> None:
    services = LoadServices()
    await ask(services, "run-boot1-0")

    async with running(services.authenticator()):
        await asyncio.sleep(1)
        await services.bus.redeliver(Binding(AUTH_STREAM, AUTH_DURABLE))
        await asyncio.sleep(1)

    assert len(services.bus.stored(RESPONDER)) == 1
    assert services.answered.ids(RecordKind.HANDLED) == ["run-boot1-0"]
    assert services.answered.ids(RecordKind.REDELIVERED) == ["run-boot1-0"]


async def test_what_was_handled_is_remembered_over_a_restart() -> None:
    services = LoadServices()
    await ask(services, "run-boot1-0")
    async with running(services.authenticator()):
        await asyncio.sleep(1)

    async with running(services.authenticator()):
        await services.bus.redeliver(Binding(AUTH_STREAM, AUTH_DURABLE))
        await asyncio.sleep(1)

    assert services.answered.ids(RecordKind.HANDLED) == ["run-boot1-0"]


async def test_a_death_between_response_and_journal_repeats_work_and_no_effect() -> None:
    services = LoadServices()
    await ask(services, "run-boot1-0")
    async with running(services.authenticator()):
        await asyncio.sleep(1)
    services.answered.records.clear()

    async with running(services.authenticator()):
        await services.bus.redeliver(Binding(AUTH_STREAM, AUTH_DURABLE))
        await asyncio.sleep(1)

    assert len(services.bus.stored(RESPONDER)) == 1
    assert services.answered.ids(RecordKind.HANDLED) == ["run-boot1-0"]


async def test_two_deliveries_at_the_same_time_have_one_effect() -> None:
    services = LoadServices()
    await ask(services, "run-boot1-0")
    (stored,) = services.bus.stored(AUTH_REQUEST)
    await services.bus.publish(AUTH_REQUEST, stored.payload, message_id="the same bytes again")

    async with running(services.authenticator()):
        await asyncio.sleep(1)

    assert services.answered.ids(RecordKind.HANDLED) == ["run-boot1-0"]
    assert services.answered.ids(RecordKind.REDELIVERED) == ["run-boot1-0"]
    assert len(services.bus.stored(RESPONDER)) == 1


async def test_a_response_that_cannot_be_stored_is_tried_again() -> None:
    services = LoadServices()
    await ask(services, "run-boot1-0")
    refusals = [BusError("away"), BusError("away")]
    services.bus.fault = lambda topic, _id: (
        refusals.pop() if topic == RESPONDER and refusals else None
    )

    async with running(services.authenticator()):
        await asyncio.sleep(5)

    assert services.answered.ids(RecordKind.HANDLED) == ["run-boot1-0"]
    assert services.metrics[AUTHCONTROLLER].snapshot().failed == 2


async def test_a_payload_that_is_no_request_becomes_a_dead_letter() -> None:
    services = LoadServices()
    channel = make_channel(GATEKEEPER, services.clock)
    for message_type in (auth.REQUEST_TYPE, auth.RESPONSE_TYPE):
        sealed = await channel.seal(
            AUTH_REQUEST, b"no request", message_type=message_type, message_id="run-boot1-0"
        )
        await services.bus.publish(AUTH_REQUEST, sealed, message_id=message_type)

    async with running(services.authenticator()):
        await asyncio.sleep(1)

    codes = [r.extra for r in services.answered.records if r.kind is RecordKind.REJECTED]
    assert codes == ["message.malformed", "message.malformed"]
    assert len(services.bus.stored(dead_letters(AUTHCONTROLLER))) == 2
    assert services.bus.stored(RESPONDER) == []
