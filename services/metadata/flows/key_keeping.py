"""Keeping key generations: wrapped, with check-and-set, each under the term that wrote it last.

Whoever comes to hold the lease writes its term into every generation it may still change. From
then on a former holder, which knows an earlier term, writes none of them: what it has read is
another version, and what it reads again says a later term.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec

from services.metadata.domain import key_generations
from services.metadata.domain.key_generations import KeyGeneration
from services.metadata.ports import KeyWrap
from svc_core.domain.epochs import Epoch
from svc_core.domain.subjects import KEYS_PATH
from svc_core.errors import MalformedMessageError, StaleWriteError
from svc_core.flows.parted_documents import PartedDocuments
from svc_core.ports.secret_store import Document, SecretStore
from svc_core.wire.documents import Int64

_FIRST_TERM: Final = 0


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    term: Int64
    wrapped: str


@dataclass(frozen=True, slots=True)
class KeptGeneration:
    """One generation as it was found."""

    generation: KeyGeneration
    term: int
    """Under which it was written last."""
    version: int
    """Of the document."""
    wrapped: str
    """As it is stored; opaque without the wrapping key."""


class KeyKeeper:
    """The stored generations; every method may raise `SecretStoreError` or `AccessDeniedError`."""

    def __init__(self, store: SecretStore, wrap: KeyWrap) -> None:
        self._documents = PartedDocuments(store, former=_former)
        self._wrap = wrap

    async def fetch(self, epoch: Epoch) -> KeptGeneration | None:
        """Return the generation of ``epoch``, or None when there is none.

        Raises:
            MalformedMessageError: what is stored there is something else.
        """
        found = await self._documents.fetch(_path(epoch.number))
        if found is None:
            return None
        payload, version = found
        stored = await asyncio.to_thread(_decode_stored, payload)
        raw = await self._wrap.unwrap(stored.wrapped)
        generation = await asyncio.to_thread(_decode_generation, raw)
        if generation.epoch != epoch:
            raise MalformedMessageError(f"keys of epoch {generation.epoch} stored as {epoch}")
        return KeptGeneration(generation, stored.term, version, stored.wrapped)

    async def store(
        self, wanted: KeyGeneration, *, term: int, found: KeptGeneration | None
    ) -> None:
        """Store ``wanted`` under ``term``.

        Args:
            wanted: what is to be stored.
            term: under which this process holds the lease.
            found: what was found in its place; None when nothing was.

        Raises:
            StaleWriteError: something else is stored there now, or a later term wrote it.
        """
        if found is not None and found.term > term:
            raise StaleWriteError(f"{_path(wanted.epoch.number)} was written in term {found.term}")
        if found is not None and found.generation is wanted:
            wrapped = found.wrapped
        else:
            wrapped = await self._wrap.wrap(await asyncio.to_thread(_encode_generation, wanted))
        payload = await asyncio.to_thread(msgspec.json.encode, _Stored(term, wrapped))
        await self._documents.store(
            _path(wanted.epoch.number), payload, expected_version=found.version if found else 0
        )

    async def remove_before(self, oldest: int) -> list[int]:
        """Destroy every generation before the epoch ``oldest``, and return which they were."""
        names = await self._documents.fetch_names(KEYS_PATH)
        due = sorted(int(name) for name in names if name.isdigit() and int(name) < oldest)
        for number in due:
            await self._documents.remove(_path(number))
        return due


def _path(number: int) -> str:
    return f"{KEYS_PATH}/{number}"


def _former(entry: Document) -> bytes | None:
    wrapped = entry.get("wrapped")
    if not isinstance(wrapped, str):
        return None
    return msgspec.json.encode(_Stored(_FIRST_TERM, wrapped))


def _decode_stored(payload: bytes) -> _Stored:
    try:
        return msgspec.json.decode(payload, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedMessageError("stored keys are not wrapped as they should be") from None


def _encode_generation(generation: KeyGeneration) -> bytes:
    return msgspec.json.encode(key_generations.encode(generation))


def _decode_generation(raw: bytes) -> KeyGeneration:
    try:
        document = msgspec.json.decode(raw, type=dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # No cause: it could quote what it could not read.
        raise MalformedMessageError("a stored key generation cannot be read") from None
    return key_generations.decode(document)
