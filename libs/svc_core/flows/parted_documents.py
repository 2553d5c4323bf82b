"""Documents larger than one entry of the store may be, written whole or not at all.

A payload that fits lies in the entry at its path, the head. A larger one lies in parts below
``<path>.parts/``, and its head names them with the size and the SHA-256 of the whole. The head is
written last, with check-and-set, so that a crash at any moment leaves the old document or the new
one. A part is called after the version of the head it is made for and after its own content: a
repeated write writes the same, a raced one something else, and neither touches what is in use.

Policies: writing needs ``create``, ``read`` and ``update`` on ``secret/data/<path>`` and
``secret/data/<path>.parts/*``, and ``list`` and ``delete`` on the same below ``secret/metadata``;
reading needs ``read`` on the first two. A rule for the whole folder, as ``secret/data/<folder>/*``,
covers them all. Nothing here is encrypted: who stores secrets seals them before.

Source: ADR-0020.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from svc_core.errors import (
    DependencyError,
    MalformedMessageError,
    RequestRefusedError,
    SecretStoreError,
    StaleWriteError,
)
from svc_core.ports.secret_store import Document, SecretStore, Versioned
from svc_core.wire import document_heads
from svc_core.wire.document_heads import MAX_SIZE, PART_SIZE, DocumentHead, head_of

log = structlog.get_logger()

_FOLDER: Final = ".parts"
_HEADS: Final = 3
"""How many heads a reader follows whose parts vanish because another one took their place."""

Former = Callable[[Document], bytes | None]
"""Returns the payload of an entry from before there were parts; None when it is none."""


class DocumentTooLargeError(RequestRefusedError):
    """A document is larger than anything that is stored in parts may be."""

    code = "store.document_too_large"
    advice = "split what it is made from: no document of this system is meant to be that large"


class PartedDocuments:
    """Payloads of up to 64 MiB in a `SecretStore`; any number of readers and writers.

    Removing is for one of them at a time. Every method may raise `SecretStoreError` (retry) or
    `AccessDeniedError`.
    """

    def __init__(self, store: SecretStore, *, former: Former = lambda _: None) -> None:
        """Keep documents in ``store``.

        Args:
            store: where heads and parts lie.
            former: how entries are read that were written without this class.
        """
        self._store = store
        self._former = former

    async def fetch(self, path: str) -> tuple[bytes, int] | None:
        """Return the payload at ``path`` and its version, or None when there is none.

        Raises:
            MalformedMessageError: what is stored there is no such document, or is damaged.
        """
        entry = await self._store.fetch(path)
        for _ in range(_HEADS):
            if entry is None:
                return None
            payload = await self._gathered(path, self._read(entry))
            if payload is not None:
                return payload, entry.version
            former, entry = entry, await self._store.fetch(path)
            if entry == former:
                raise MalformedMessageError(f"a part of {path} is missing")
        raise SecretStoreError(f"{path} was replaced faster than it could be read")

    async def store(self, path: str, payload: bytes, *, expected_version: int) -> int:
        """Write ``payload`` and return its version; what it replaces is destroyed afterwards.

        What an earlier writer left behind is destroyed, too. Should that fail, the document is
        written all the same, and the next writer tidies up.

        Args:
            path: of the document.
            payload: at most 64 MiB.
            expected_version: 0 to create only, n to replace version n.

        Raises:
            StaleWriteError: the newest version is another.
            DocumentTooLargeError: nothing was written.
        """
        if len(payload) > MAX_SIZE:
            raise DocumentTooLargeError(f"{path} would have {len(payload)} bytes")
        # Before the head moves: nothing that a later head than ours will need is among them.
        lying_about = await self._store.fetch_names(_folder(path))
        head = await self._laid_out(path, payload, version=expected_version + 1)
        data = document_heads.encode(head)
        version = await self._store.store(path, data, expected_version=expected_version)
        await self._tidy(path, set(lying_about).difference(head.parts))
        return version

    async def remove(self, path: str) -> None:
        """Destroy the document with all its versions and parts; no error when there is none.

        Also a damaged one, and what a writer left behind. Versions begin anew afterwards, so it
        takes care that nobody creates the document at that very moment: what is created then may
        lack a part, which a reader notices and another `remove` ends.
        """
        lying_about = await self._store.fetch_names(_folder(path))
        await self._store.remove(path)
        await self._destroy(path, lying_about)

    async def fetch_names(self, folder: str) -> tuple[str, ...]:
        """Return the names directly below ``folder``, as `SecretStore.fetch_names` does.

        Instead of the folders with parts it names the documents they belong to, also those of
        which nothing else is left: `remove` ends them.
        """
        names = await self._store.fetch_names(folder)
        return tuple(sorted({name.removesuffix(f"{_FOLDER}/") for name in names}))

    async def _laid_out(self, path: str, payload: bytes, *, version: int) -> DocumentHead:
        """Store the parts of ``payload`` if it needs any, and return the head to be stored."""
        if len(payload) <= PART_SIZE:
            return head_of(payload)
        whole, parts = hashlib.sha256(), []
        for start in range(0, len(payload), PART_SIZE):
            piece = payload[start : start + PART_SIZE]
            whole.update(piece)
            parts.append(await self._store_part(path, piece, version=version))
        return DocumentHead(len(payload), whole.hexdigest(), parts=tuple(parts))

    async def _store_part(self, path: str, piece: bytes, *, version: int) -> str:
        name = document_heads.part_name(piece, version=version)
        data = document_heads.encode_part(piece)
        try:
            await self._store.store(_part(path, name), data, expected_version=0)
        except StaleWriteError:
            return name  # by an earlier attempt, and the name says what is in it
        return name

    async def _tidy(self, path: str, names: Iterable[str]) -> None:
        try:
            await self._destroy(path, names)
        except DependencyError as err:
            log.warning("document.parts_left_over", path=path, code=err.code)

    async def _destroy(self, path: str, names: Iterable[str]) -> None:
        for name in sorted(names):
            await self._store.remove(_part(path, name))

    async def _gathered(self, path: str, head: DocumentHead) -> bytes | None:
        """Return the payload, or None when a part of it is not there (any more)."""
        whole, pieces = hashlib.sha256(head.payload), [head.payload]
        for name in head.parts:
            entry = await self._store.fetch(_part(path, name))
            if entry is None:
                return None
            pieces.append(document_heads.decode_part(entry.data))
            whole.update(pieces[-1])
        if sum(map(len, pieces)) != head.size or whole.hexdigest() != head.digest:
            raise MalformedMessageError(f"{path} is not what its head says")
        return b"".join(pieces)

    def _read(self, entry: Versioned) -> DocumentHead:
        former = self._former(entry.data)
        return document_heads.decode(entry.data) if former is None else head_of(former)


def _folder(path: str) -> str:
    return f"{path}{_FOLDER}"


def _part(path: str, name: str) -> str:
    return f"{_folder(path)}/{name}"
