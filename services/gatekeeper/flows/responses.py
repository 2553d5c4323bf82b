"""`ResponseReceiver`: takes the answers, each once."""

from typing import Final

from services.gatekeeper.domain.outstanding import Outstanding
from svc_core.domain.correlation import answered_request
from svc_core.domain.subjects import GATEKEEPER_DURABLE, GATEKEEPER_STREAM, RESPONDER
from svc_core.errors import MalformedMessageError
from svc_core.flows.effects import Effects
from svc_core.flows.refusals import Refusals
from svc_core.flows.secure_channel import SecureChannel
from svc_core.ports.bus import Binding, Bus, Delivery
from svc_core.wire import auth


class ResponseReceiver:
    """The loop that journals every answer before it is acknowledged to the broker."""

    name: Final = "responses"

    def __init__(
        self,
        bus: Bus,
        channel: SecureChannel,
        effects: Effects,
        refusals: Refusals,
        outstanding: Outstanding,
    ) -> None:
        self._bus = bus
        self._channel = channel
        self._effects = effects
        self._refusals = refusals
        self._outstanding = outstanding

    async def run(self) -> None:
        """Take answers for ever."""
        binding = Binding(GATEKEEPER_STREAM, GATEKEEPER_DURABLE)
        await self._bus.consume(binding, self._effects.counting(self._handle), self._refusals)

    async def _handle(self, delivery: Delivery) -> None:
        message = await self._channel.open(delivery.payload, RESPONDER)
        if message.message_type != auth.RESPONSE_TYPE:
            raise MalformedMessageError("another type of message than a response")
        auth.decode_response(message.payload)
        request_id = answered_request(message.message_id)
        self._effects.record(message, request_id, due_at=self._outstanding.ended(request_id))
