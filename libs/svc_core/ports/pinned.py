"""What was pinned out of band and may be replaced while a process runs, as a role."""

from collections.abc import AsyncIterator
from typing import Protocol

from svc_core.wire.identities import SignedIdentities


class PinnedIdentities(Protocol):
    """The operator-signed list of Metadata's identities, wherever it is kept."""

    @property
    def name(self) -> str:
        """Where it comes from, for people."""
        ...

    def follow(self) -> AsyncIterator[bytes | None]:
        """Yield its bytes now and whenever they may have changed; None while there are none.

        Raises:
            ConfigError: it cannot be watched.
        """
        ...

    def verified(self, raw: bytes) -> SignedIdentities:
        """Return the list in ``raw`` once the operator's signature holds.

        Raises:
            RejectedError: it is damaged, or not signed by the operator.
        """
        ...
