"""Keeping the audit log: an entry is written before what it tells of, or that does not happen.

Entries are created, never replaced: whoever was second with a number reads what the first wrote,
checks that it continues the chain, and goes on behind it. A process that was frozen and woke up
with an old view therefore cannot write over what happened meanwhile.
"""

import asyncio
from typing import Final

import structlog

from services.metadata.domain.audit import DEFAULT_POLICY, AuditPolicy, Note
from svc_core.crypto import contexts
from svc_core.domain.audit import AUDIT_PATH, CHECKPOINT, AuditEntry, AuditHead, Checkpoint
from svc_core.errors import (
    AccessDeniedError,
    DependencyError,
    MalformedMessageError,
    StaleWriteError,
)
from svc_core.flows.statements import Author
from svc_core.ports.secret_store import Document, SecretStore
from svc_core.ports.time import Clock
from svc_core.wire import audit as audit_wire
from svc_core.wire.audit_chain import read_link

log = structlog.get_logger()

_FIRST: Final = 1


class AuditDamagedError(DependencyError):
    """The log does not continue as it should, so nothing that must be written down can be done."""

    code = "audit.damaged"
    advice = "run `securetransport audit verify`; it names the first bad entry"


def entry_path(number: int) -> str:
    """Return where the entry ``number`` is stored."""
    return f"{AUDIT_PATH}/{number}"


class AuditLog:
    """The log as this process last saw it; shared by every flow that writes to it."""

    def __init__(
        self,
        store: SecretStore,
        author: Author,
        clock: Clock,
        *,
        policy: AuditPolicy = DEFAULT_POLICY,
    ) -> None:
        self._store = store
        self._author = author
        self._clock = clock
        self._policy = policy
        self._head = AuditHead()
        self._limit = 0
        self._unsigned = 0
        self._is_due = False
        self._is_anchored = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    @property
    def head(self) -> AuditHead:
        """The last entry this process has seen."""
        return self._head

    def anchor(self, head: AuditHead, *, limit: int) -> None:
        """Take over what the journal says about the log; it never makes this process forget.

        Nothing is written before the first time: where the log goes on is not known until then.

        Args:
            head: the last entry that took effect.
            limit: number of the entry in the newest desired state; everything from it on is kept.
        """
        if head.number > self._head.number:
            self._head = head
        self._limit = max(self._limit, limit)
        self._is_anchored.set()

    async def catch_up(self) -> None:
        """Take over what was written behind the last entry this process has seen.

        Raises:
            AuditDamagedError: it does not continue the chain.
        """
        async with self._one_at_a_time:
            while (found := await self._store.fetch(entry_path(self._head.number + 1))) is not None:
                self._follow(found.data)

    async def append(self, note: Note, *, follows: int | None = None) -> AuditHead:
        """Write ``note`` down and return where it is.

        Args:
            note: what is about to be done.
            follows: as in `AuditEntry`; None for what is no step of the journal.

        Raises:
            SecretStoreError: it could not be written; what it tells of must not be done.
            StaleWriteError: another step of the journal was written down first; the same.
            AuditDamagedError: what is stored does not continue the chain; the same.
        """
        await self._is_anchored.wait()
        async with self._one_at_a_time:
            if self._is_due or self._unsigned >= self._policy.every:
                await self._sign()
            entry = AuditEntry(
                self._head.number + 1,
                self._clock.now(),
                self._author.id,
                note.kind,
                note.subject,
                note.facts,
                follows,
            )
            return await self._add(entry)

    async def sign(self) -> None:
        """Sign all there is now, and cut off what need not be kept any longer.

        Should it fail, the next entry is not written before it has been made good.
        """
        async with self._one_at_a_time:
            self._is_due = True
            await self._sign()

    async def _add(self, entry: AuditEntry) -> AuditHead:
        while True:
            previous = self._head
            number = previous.number + 1
            body = audit_wire.encode(_numbered(entry, number))
            data = audit_wire.encode_stored(body, previous.digest)
            try:
                await self._store.store(entry_path(number), data, expected_version=0)
            except (StaleWriteError, AccessDeniedError):
                # A create-only path says 403 to whoever is second.
                found = await self._adopt(number)
                is_raced = entry.follows is not None and found.follows is not None
                if is_raced or entry.checkpoint is not None:
                    raise StaleWriteError(f"entry {number} was written by somebody else") from None
                continue
            self._head = AuditHead(number, audit_wire.digest_of(body, previous.digest))
            self._unsigned += 1
            return self._head

    async def _adopt(self, number: int) -> AuditEntry:
        """Go on behind an entry that somebody else wrote, or this process before it died."""
        found = await self._store.fetch(entry_path(number))
        if found is None:
            raise AuditDamagedError(f"audit entry {number} can be neither written nor read")
        return self._follow(found.data)

    def _follow(self, stored: Document) -> AuditEntry:
        number = self._head.number + 1
        try:
            link = read_link(stored)
        except MalformedMessageError as err:
            raise AuditDamagedError(f"audit entry {number}: {err}") from err
        is_next = link.entry.number == number and link.previous == self._head.digest
        if not is_next or audit_wire.digest_of(link.body, link.previous) != link.digest:
            raise AuditDamagedError(f"audit entry {number} does not follow the one before it")
        self._head = AuditHead(number, link.digest)
        self._unsigned = 0 if link.entry.checkpoint is not None else self._unsigned + 1
        return link.entry

    async def _sign(self) -> None:
        oldest = await self._oldest()
        while True:
            first = self._policy.first_kept(oldest, head=self._head.number, limit=self._limit)
            try:
                await self._add(await self._checkpoint(first))
                break
            except StaleWriteError:
                continue  # somebody's entry came between: sign that one too
        self._unsigned, self._is_due = 0, False
        log.debug("audit.signed", number=self._head.number, first=first)
        if first > oldest:
            await self._remove_before(first)

    async def _checkpoint(self, first: int) -> AuditEntry:
        number, now, previous = self._head.number + 1, self._clock.now(), self._head.digest
        before = await self._digest_before(first)
        signature = await self._author.sign_bytes(
            audit_wire.checkpoint_input(number, now, previous=previous, first=first, before=before),
            context=contexts.AUDIT_CHECKPOINT,
        )
        checkpoint = Checkpoint(first, before, self._author.id, signature)
        return AuditEntry(number, now, self._author.id, CHECKPOINT, "", checkpoint=checkpoint)

    async def _digest_before(self, first: int) -> bytes:
        if first == _FIRST:
            return AuditHead().digest
        found = await self._store.fetch(entry_path(first))
        if found is None:
            raise AuditDamagedError(f"audit entry {first} is missing")
        try:
            return read_link(found.data).previous
        except MalformedMessageError as err:
            raise AuditDamagedError(f"audit entry {first}: {err}") from err

    async def _oldest(self) -> int:
        return min(await self._numbers(), default=_FIRST)

    async def _numbers(self) -> list[int]:
        names = await self._store.fetch_names(AUDIT_PATH)
        return [int(name) for name in names if name.isdecimal()]

    async def _remove_before(self, first: int) -> None:
        gone = sorted(n for n in await self._numbers() if n < first)
        for number in gone:
            await self._store.remove(entry_path(number))
        log.info("audit.cut", first=first, entries=len(gone))


def _numbered(entry: AuditEntry, number: int) -> AuditEntry:
    if entry.number == number:
        return entry
    return AuditEntry(
        number, entry.at, entry.by, entry.kind, entry.subject, entry.facts, entry.follows
    )
