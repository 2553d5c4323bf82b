"""Reading the one truth: the newest signed `DesiredState`, from NATS or from OpenBao.

NATS is asked first because it is near; OpenBao is the truth and the way back when NATS cannot be
reached, and it is asked now and then although NATS answers: whoever announces may be kept from
NATS, as when the servers' certificates have expired, and a connection that still lives then shows
the last announcement for ever. Whatever comes is verified and ordered by version, so an old copy
changes nothing.
"""

import asyncio
from typing import Final

import structlog

from svc_core.crypto import contexts
from svc_core.domain.desired import DesiredState
from svc_core.domain.subjects import CA_CERT, CA_STREAM, DESIRED_PATH
from svc_core.errors import (
    AccessDeniedError,
    BusError,
    ProfileMismatchError,
    RejectedError,
    SecretStoreError,
    UntrustedAnswerError,
)
from svc_core.flows.statements import Statements
from svc_core.ports.bus import Bus
from svc_core.ports.secret_store import SecretStore
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from svc_core.wire.documents import SignedDocument

log = structlog.get_logger()

_NEAR_S: Final = 0.5
"""How long NATS is waited for: a request can be passed to a frozen replica, which answers never."""
_SAME_ANSWERS: Final = 8
"""How often in a row NATS may say nothing new before OpenBao is asked too."""
_CHECK_S: Final = 2.0
"""How long OpenBao is waited for then: without it everything goes on as it is."""


class DesiredReader:
    """Keeps the newest verified desired state this process has seen."""

    def __init__(
        self, store: SecretStore, bus: Bus | None, statements: Statements, profile: str
    ) -> None:
        self._store = store
        self._bus = bus
        self._statements = statements
        self._profile = profile
        self._same = 0
        self.newest: DesiredState | None = None

    async def read(self) -> DesiredState | None:
        """Return the newest state; None when there is none yet.

        Raises:
            SecretStoreError: neither NATS nor OpenBao answered.
            UntrustedAnswerError: what OpenBao holds is not the authority's.
            ProfileMismatchError: the authority runs another profile.
        """
        known = self.newest
        if not await self._read_bus():
            await self._read_store()
        elif self.newest is known:
            await self._check_now_and_then()
        else:
            self._same = 0
        return self.newest

    async def read_hinted(self, *, above: int) -> DesiredState | None:
        """Read after a hint that there is a version above ``above``.

        A direct read is answered by any replica of the stream, so it can be behind the hint that
        caused it; OpenBao, which is written first, is not.
        """
        newest = await self.read()
        if newest is not None and newest.version > above:
            return newest
        await self._read_store()
        return self.newest

    async def _read_bus(self) -> bool:
        """Take over what the bus holds; return whether that was a state of the authority."""
        if self._bus is None:
            return False
        try:
            async with asyncio.timeout(_NEAR_S):
                message = await self._bus.fetch_last(CA_STREAM, CA_CERT)
            if message is None:
                return False
            await self._consider(documents.decode(message.payload))
        except (BusError, TimeoutError) as err:
            log.debug("desired.not_on_bus", reason=str(err))
            return False
        except (RejectedError, AccessDeniedError) as err:
            log.warning("desired.bus_refused", code=err.code, reason=str(err))
            return False
        return True

    async def _check_now_and_then(self) -> None:
        self._same += 1
        if self._same < _SAME_ANSWERS:
            return
        self._same = 0
        try:
            async with asyncio.timeout(_CHECK_S):
                await self._read_store()
        except (SecretStoreError, AccessDeniedError, UntrustedAnswerError, TimeoutError) as err:
            log.debug("desired.not_checked", reason=str(err))

    async def _read_store(self) -> None:
        entry = await self._store.fetch(DESIRED_PATH)
        if entry is None:
            return
        try:
            await self._consider(documents.decode_entry(entry.data))
        except RejectedError as err:
            raise UntrustedAnswerError(f"{DESIRED_PATH} is not the authority's: {err}") from err

    async def _consider(self, document: SignedDocument) -> None:
        body = await self._statements.verified(document, context=contexts.DESIRED_STATE)
        state = desired_wire.decode(body)
        if state.profile != self._profile:
            raise ProfileMismatchError(configured=self._profile, announced=state.profile)
        if self.newest is None or state.version > self.newest.version:
            self.newest = state
