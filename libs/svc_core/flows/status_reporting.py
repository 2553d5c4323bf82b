"""Saying how this instance is: a signed acknowledgement and heartbeat in the status bucket."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from svc_core.crypto import contexts
from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import status_key
from svc_core.flows.statements import Author
from svc_core.ports.bus import Bus
from svc_core.runtime.surroundings import Surroundings
from svc_core.runtime.wakeup import Wakeup
from svc_core.wire import documents
from svc_core.wire import status as status_wire
from svc_core.wire.documents import SignedDocument

log = structlog.get_logger()

_STORED_WITHIN_S: Final = 1.0
_AGAIN_S: Final = 2.0
_NEXT: Final = timedelta(microseconds=1)

Observe = Callable[[], InstanceStatus]
"""Return the status as of now."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports."""

    service: ServiceName
    instance: InstanceName
    boot_id: str
    author: Author


class StatusReporter:
    """The loop that publishes this instance's status on change and at every heartbeat."""

    name: Final = "status_reporting"

    def __init__(
        self,
        reporter: Reporter,
        observe: Observe,
        changed: Wakeup,
        bus: Bus,
        around: Surroundings,
    ) -> None:
        self._reporter = reporter
        self._observe = observe
        self._changed = changed
        self._bus = bus
        self._heartbeat_s = around.profile.heartbeat.total_seconds()
        self._skew = around.profile.skew
        self._again_s = min(self._heartbeat_s, _AGAIN_S)
        self._health = around.health
        self._sent = 0
        self._said_at: datetime | None = None

    async def run(self) -> None:
        """Report for ever."""
        key = status_key(self._reporter.service, self._reporter.instance)
        while True:
            body = await asyncio.to_thread(status_wire.encode, self._observed())
            document = await self._reporter.author.sign(body, context=contexts.INSTANCE_STATUS)
            self._sent += 1
            is_stored = await self._is_stored(key, document)
            if is_stored:
                self._health.beat(self.name)
            # Two in a row tell a server that is cut off from its peers, long before a heartbeat.
            await self._changed.wait(self._heartbeat_s if is_stored else self._again_s)

    def _observed(self) -> InstanceStatus:
        """Return the status of now, later than the one before also if the clock was set back.

        Whoever reads them takes the latest. A clock that was further ahead than any may be is
        not believed afterwards: what it said counts nowhere.
        """
        status, before = self._observe(), self._said_at
        if before is not None and timedelta(0) <= before - status.sent_at <= self._skew:
            status = replace(status, sent_at=before + _NEXT)
        self._said_at = status.sent_at
        return status

    async def _is_stored(self, key: str, document: SignedDocument) -> bool:
        """Say the status and return whether it was stored; it is heard live in any case.

        What is not acknowledged soon is given up, or it would keep back what is newer: while the
        stream has no leader nothing is acknowledged for seconds.
        """
        message_id = f"{self._reporter.instance}.{self._reporter.boot_id}.{self._sent}"
        try:
            async with asyncio.timeout(_STORED_WITHIN_S):
                await self._bus.publish(
                    key,
                    documents.encode(document),
                    message_id=message_id,
                    # The bucket keeps the last one only: an earlier one must not come after it.
                    ordering_key=key,
                )
        except TimeoutError:
            log.debug("status.not_stored", number=self._sent)
            return False
        return True
