"""Reading every live instance's signed status; one that its key did not sign does not count."""

import asyncio

import structlog

from services.metadata.domain.fleet import Fleet
from services.metadata.flows.instance_keys import InstanceKeys
from svc_core.crypto import contexts
from svc_core.domain.identity import instance_name, service_name
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import STATUS_BUCKET, STATUS_STREAM
from svc_core.errors import BusError, IdentityError, RejectedError
from svc_core.ports.bus import Bus, StoredMessage
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import documents
from svc_core.wire import status as status_wire

log = structlog.get_logger()


class FleetWatch:
    """Observes who is live and what each has acknowledged."""

    def __init__(self, bus: Bus, instances: InstanceKeys, around: Surroundings) -> None:
        self._bus = bus
        self._instances = instances
        self._around = around
        self._verified: dict[str, tuple[bytes, InstanceStatus]] = {}
        self._refused: set[str] = set()

    async def observe(self) -> Fleet | None:
        """Return the live instances, or None while NATS cannot be asked."""
        try:
            stored = await self._bus.fetch_last_matching(STATUS_STREAM, f"$KV.{STATUS_BUCKET}.>")
        except BusError:
            return None
        statuses = [await self._status(message) for message in stored]
        return Fleet([s for s in statuses if s is not None and self._is_live(s)])

    def _is_live(self, status: InstanceStatus) -> bool:
        now, profile = self._around.clock.now(), self._around.profile
        # A clock far ahead would keep an instance alive long after its death.
        is_possible = status.sent_at - now <= profile.skew
        return is_possible and status.is_live(now, within=profile.liveness)

    async def _status(self, message: StoredMessage) -> InstanceStatus | None:
        known = self._verified.get(message.subject)
        if known is not None and known[0] == message.payload:
            return known[1]
        try:
            status = await self._verify(message)
        except RejectedError as err:
            self._report(message.subject, err)
            return None
        self._refused.discard(message.subject)
        self._verified[message.subject] = (message.payload, status)
        return status

    async def _verify(self, message: StoredMessage) -> InstanceStatus:
        service, instance = _named(message.subject)
        document = documents.decode(message.payload)
        status = status_wire.decode(document.body, signer=document.signer)
        if (status.service, status.instance) != (service, instance):
            raise IdentityError(f"{message.subject} holds the status of {document.signer}")
        verifier = await self._instances.verifier(status.service, status.instance)
        await asyncio.to_thread(
            verifier.verify,
            document.signature,
            documents.signing_input(document.signer, document.body),
            context=contexts.INSTANCE_STATUS,
        )
        return status

    def _report(self, subject: str, err: RejectedError) -> None:
        if subject not in self._refused:
            self._refused.add(subject)
            log.warning("status.refused", subject=subject, code=err.code, reason=str(err))


def _named(subject: str) -> tuple[str, str]:
    tokens = subject.split(".")
    try:
        _, _, service, instance = tokens
        return service_name(service), instance_name(instance)
    except ValueError as err:
        raise IdentityError(f"{subject} names no instance") from err
