"""Checking signatures: each message's own, each batch's once."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from cachetools import LRUCache

from svc_core.crypto import contexts
from svc_core.crypto.signing import Verifier
from svc_core.flows.message_crypto import Claim
from svc_core.runtime.grouped_worker import GroupedWorker, Grouping, each

ROOTS_KEPT: Final = 1024
"""Batches whose signature is remembered as good; about 5 KiB each."""
_GROUPING: Final = Grouping(limit=16, lanes=2)


@dataclass(frozen=True, slots=True)
class _Check:
    claim: Claim
    verifier: Verifier

    def run(self) -> None:
        claim = self.claim
        self.verifier.verify(claim.signature, claim.covered, context=claim.context)


class _Outcome:
    """How the verification of one batch ended; many may wait for it, and none can cancel it."""

    __slots__ = ("error", "known")

    def __init__(self) -> None:
        self.known = asyncio.Event()
        self.error: Exception | None = None


class VerifiedRoots:
    """Batches known to be good, under the keys in use; dropped whole when the keys change.

    An entry is the exact claim, signature included, so nothing can be found that was not verified
    bit for bit; ids or hashes an attacker chooses have no part in it.
    """

    def __init__(self) -> None:
        self.good: LRUCache[Claim, bool] = LRUCache(ROOTS_KEPT)
        self.under_way: dict[Claim, _Outcome] = {}


class MessageVerifier:
    """Verifies claims in worker threads; used from one event loop.

    Leaving the context waits for the work in the worker threads.
    """

    def __init__(self, workers: Executor) -> None:
        self._worker: GroupedWorker[_Check, None] = GroupedWorker(
            each(_Check.run), workers, _GROUPING
        )

    async def __aenter__(self) -> Self:
        await self._worker.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._worker.__aexit__(kind, value, trace)

    async def verify(self, claim: Claim, verifier: Verifier, roots: VerifiedRoots) -> None:
        """Return if ``claim`` holds; a batch that ``roots`` knows costs no verification.

        Raises:
            VerificationError: it does not.
            OverloadedError: too many are waiting (retry).
        """
        if claim.context != contexts.BATCH_ROOT:
            await self._worker.submit(_Check(claim, verifier))
            return
        while claim not in roots.good:
            if (first := roots.under_way.get(claim)) is None:
                await self._verify_root(claim, verifier, roots)
                return
            await first.known.wait()
            if first.error is not None:
                raise first.error
            # Otherwise it is good, or whoever began was cancelled and another begins anew.

    async def _verify_root(self, claim: Claim, verifier: Verifier, roots: VerifiedRoots) -> None:
        outcome = roots.under_way[claim] = _Outcome()
        try:
            await self._worker.submit(_Check(claim, verifier))
            roots.good[claim] = True
        except Exception as err:
            outcome.error = err
            raise
        finally:
            del roots.under_way[claim]
            outcome.known.set()
