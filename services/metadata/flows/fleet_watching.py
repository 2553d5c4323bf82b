"""Reading every live instance's signed status; one that its key did not sign does not count.

What JetStream keeps is read at every look. What instances say is also heard as they say it: while a
frozen server leads the stream, or is asked for a copy of it, that is all there is for seconds, and
a server that fails must be known by then.

Clocks may be apart by the tolerated skew. So who is live is judged by when something new of it was
seen, on this process's clock that never steps; the time a status says only bounds that. For a
process that has just started this counts the dead as live for as long as any silence is borne.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from services.metadata.domain.fleet import Fleet
from services.metadata.flows.instance_keys import InstanceKeys
from svc_core.crypto import contexts
from svc_core.domain.identity import (
    WATCHER,
    InstanceName,
    ServiceName,
    Subject,
    instance_name,
    service_name,
)
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import STATUS_BUCKET, STATUS_STREAM, status_key
from svc_core.errors import BusError, IdentityError, RejectedError
from svc_core.ports.bus import Bus, StoredMessage
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import documents
from svc_core.wire import status as status_wire

log = structlog.get_logger()

STATUSES: Final = Subject(f"$KV.{STATUS_BUCKET}.>")
_ANSWERS_WITHIN_S: Final = 1.0
_MOST_HEARD: Final = 1024
"""Statuses between two looks; of more than that the oldest are read from the stream."""
_REMEMBERED: Final = 3
"""Verified statuses of one instance: of what is heard, and of what replicas still have."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The newest status of one instance."""

    status: InstanceStatus
    at: float
    """When it was first seen, in seconds of the monotonic clock."""
    live_since: float
    """From when on something new of the same process came in time, on that clock."""


class FleetWatch:
    """Observes who is live and what each has acknowledged."""

    def __init__(self, bus: Bus, instances: InstanceKeys, around: Surroundings) -> None:
        self._bus = bus
        self._instances = instances
        self._around = around
        self._verified: dict[str, deque[tuple[bytes, InstanceStatus]]] = {}
        self._refused: set[str] = set()
        self._heard: deque[bytes] = deque(maxlen=_MOST_HEARD)
        self._newest: dict[str, _Seen] = {}

    def hear(self, payload: bytes) -> None:
        """Take what an instance has just said into account at the next look."""
        self._heard.append(payload)

    async def observe(self) -> Fleet | None:
        """Return the live instances, or None while nobody can say that these are all."""
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                stored = await self._bus.fetch_last_matching(STATUS_STREAM, STATUSES)
        except (BusError, TimeoutError):
            await self._listen_in()
            return None
        for message in stored:
            await self._consider(message)
        await self._listen_in()
        return self.heard()

    def heard(self) -> Fleet:
        """Return the live instances that are known; there may be others."""
        live = [seen for seen in self._newest.values() if self._is_live(seen)]
        since = [seen.live_since for seen in live if seen.status.service == WATCHER]
        if not since:
            return Fleet([seen.status for seen in live])
        watched_for = timedelta(seconds=self._around.clock.monotonic() - max(since))
        return Fleet([seen.status for seen in live], watched_for)

    async def _listen_in(self) -> None:
        while self._heard:
            payload = self._heard.popleft()
            try:
                signer = documents.decode(payload).signer
            except RejectedError:
                # Who stored it is refused by name when it is read from there.
                continue
            service, _, instance = signer.partition("/")
            subject = status_key(ServiceName(service), InstanceName(instance))
            await self._consider(StoredMessage(subject, payload, 0))

    async def _consider(self, message: StoredMessage) -> None:
        status = await self._status(message)
        known = self._newest.get(message.subject)
        if status is not None and (known is None or self._is_newer(status, known)):
            self._newest[message.subject] = self._seen_now(status, known)

    def _seen_now(self, status: InstanceStatus, known: _Seen | None) -> _Seen:
        now = self._around.clock.monotonic()
        if known is None or known.status.boot_id != status.boot_id or not self._is_live(known):
            return _Seen(status, now, live_since=now)
        return _Seen(status, now, known.live_since)

    def _is_newer(self, status: InstanceStatus, known: _Seen) -> bool:
        """Say whether ``status`` replaces what is known of its instance.

        Also an earlier one does, once that one does not count any more: what is new may come from
        a process whose clock was set back before it started.
        """
        is_later = status.sent_at > known.status.sent_at
        return is_later or (status != known.status and not self._is_live(known))

    def _is_live(self, seen: _Seen) -> bool:
        clock, profile, status = self._around.clock, self._around.profile, seen.status
        is_silent = clock.monotonic() - seen.at > profile.liveness.total_seconds()
        # A clock far ahead would keep an instance alive long after its death.
        is_possible = status.sent_at - clock.now() <= profile.skew
        # What it said before it was revoked is remembered, and does not count either.
        is_refused = self._instances.is_refused(status.service, status.instance)
        return is_possible and not (is_silent or is_refused or self._is_old(status))

    def _is_old(self, status: InstanceStatus) -> bool:
        """Say whether it is of long ago by any clock within the tolerated skew.

        When it was first seen says nothing of what was there before this process.
        """
        profile = self._around.profile
        within = profile.liveness + profile.skew
        return not status.is_live(self._around.clock.now(), within=within)

    async def _status(self, message: StoredMessage) -> InstanceStatus | None:
        remembered = self._verified.get(message.subject, ())
        for payload, known in remembered:
            if payload == message.payload:
                return known
        try:
            status = await self._verify(message)
        except RejectedError as err:
            self._report(message.subject, err)
            return None
        self._refused.discard(message.subject)
        own = self._verified.setdefault(message.subject, deque(maxlen=_REMEMBERED))
        own.append((message.payload, status))
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


class StatusListener:
    """The loop that hears what instances say of themselves as they say it."""

    name: Final = "status_listening"

    def __init__(self, bus: Bus, fleet: FleetWatch) -> None:
        self._bus = bus
        self._fleet = fleet

    async def run(self) -> None:
        """Listen for ever."""
        await self._bus.listen(STATUSES, self._fleet.hear)


def _named(subject: str) -> tuple[str, str]:
    tokens = subject.split(".")
    try:
        _, _, service, instance = tokens
        return service_name(service), instance_name(instance)
    except ValueError as err:
        raise IdentityError(f"{subject} names no instance") from err
