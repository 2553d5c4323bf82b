"""`Authenticator`: decides each request and answers it, once, whatever is delivered how often.

The order is what makes it safe: the response is stored by the broker first (under an id made from
the request's, so that a repeat is the same message), then the journal says `handled`, then the
request is acknowledged. A crash between any two repeats work and no effect.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from services.authcontroller.domain.decision import decide
from services.authcontroller.domain.report_lines import processing_line, receipt_line
from svc_core.domain.correlation import generation_counter, response_id
from svc_core.domain.messages import AuthenticationRequest
from svc_core.domain.milestones import Milestones
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import AUTH_DURABLE, AUTH_REQUEST, AUTH_STREAM, RESPONDER
from svc_core.errors import MalformedMessageError
from svc_core.flows.effects import Effects
from svc_core.flows.refusals import Refusals
from svc_core.flows.secure_channel import OpenedMessage, SecureChannel
from svc_core.ports.bus import Binding, Bus, Delivery
from svc_core.runtime.traffic_metrics import TrafficMetrics
from svc_core.wire import auth

log = structlog.get_logger()


@dataclass(slots=True)
class Progress:
    """When to say how far this service is."""

    metrics: TrafficMetrics
    receipts: Milestones
    answers: Milestones

    def received(self, request_id: str) -> None:
        """Log the receipt line when it is time for it."""
        counts = self.metrics.snapshot()
        if self.receipts.reached(counts.received):
            generated = generation_counter(request_id)
            log.info(receipt_line(receipts=counts.received, generated=generated))

    def answered(self, request_id: str) -> None:
        """Log the processing line when it is time for it."""
        counts = self.metrics.snapshot()
        if self.answers.reached(counts.answered):
            generated = generation_counter(request_id)
            log.info(
                processing_line(
                    processed=counts.answered, receipts=counts.received, generated=generated
                )
            )


class Authenticator:
    """The loop that takes requests for ever."""

    name: Final = "authentication"

    def __init__(
        self,
        bus: Bus,
        channel: SecureChannel,
        effects: Effects,
        refusals: Refusals,
        progress: Progress,
        *,
        seed: SecretBytes,
    ) -> None:
        """Answer requests.

        Args:
            bus: where requests come from and responses go.
            channel: opens and seals.
            effects: what was handled before.
            refusals: takes the requests that are none.
            progress: logs the counters.
            seed: 32 secret bytes that responses are derived from.
        """
        self._bus = bus
        self._channel = channel
        self._effects = effects
        self._refusals = refusals
        self._progress = progress
        self._seed = seed

    async def run(self) -> None:
        """Take requests for ever."""
        binding = Binding(AUTH_STREAM, AUTH_DURABLE)
        await self._bus.consume(binding, self._effects.counting(self._handle), self._refusals)

    async def _handle(self, delivery: Delivery) -> None:
        message = await self._channel.open(delivery.payload, AUTH_REQUEST)
        if message.message_type != auth.REQUEST_TYPE:
            raise MalformedMessageError("another type of message than a request")
        request = auth.decode_request(message.payload)
        self._progress.received(message.message_id)
        if self._effects.is_done(message, message.message_id):
            return
        await self._answer(message, request)
        if self._effects.record(message, message.message_id):
            self._progress.answered(message.message_id)

    async def _answer(self, message: OpenedMessage, request: AuthenticationRequest) -> None:
        response = decide(
            request, message_id=message.message_id, asked_at=message.sent_at, seed=self._seed
        )
        answer_id = response_id(message.message_id)
        sealed = await self._channel.seal(
            RESPONDER,
            auth.encode_response(response),
            message_type=auth.RESPONSE_TYPE,
            message_id=answer_id,
        )
        self._progress.metrics.sent()
        await self._bus.publish(RESPONDER, sealed, message_id=answer_id)
        self._progress.metrics.acked()
