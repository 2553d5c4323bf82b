"""Opening a link to one of the servers: the preferred one first, a frozen one for a moment only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from svc_core.adapters.nats_link import LinkCredentials, LinkTarget, NatsLink
from svc_core.config import NatsSettings
from svc_core.domain.subjects import inbox_prefix
from svc_core.errors import BusError
from svc_core.ports.time import Entropy
from svc_core.runtime.first_success import first_success

_HEAD_START: Final = timedelta(milliseconds=1500)
"""How long one server is waited for before the next is tried beside it.

A handshake takes some ten milliseconds, but half a second where a hundred clients move at once on a
busy machine. Far more than RFC 8305 recommends: racing those would treble the handshakes just when
servers are slow (243 links for 100 moves, measured with 500 ms).
"""


@dataclass(frozen=True, slots=True)
class NatsUser:
    """Who connects: the NATS account name, and the name shown in monitoring."""

    account: str
    client_name: str


class Dialer:
    """Opens links of one user, each with its newest certificate."""

    def __init__(
        self,
        settings: NatsSettings,
        user: NatsUser,
        credentials: Callable[[], LinkCredentials],
        entropy: Entropy,
        link_type: type[NatsLink],
    ) -> None:
        self._settings = settings
        self._user = user
        self._credentials = credentials
        self._entropy = entropy
        self._link_type = link_type

    async def stay(self, url: str) -> NatsLink:
        """Open a link to ``url`` if that can be had soon, else to any other.

        A swap stays on its server: the others then never hear that interest moved, so nothing is
        sent to where somebody has just left.

        Raises:
            BusError, AccessDeniedError: no server lets this user in.
            TlsMaterialError: there is no certificate yet.
        """
        others = [other for other in self._in_any_order() if other != url]
        return await self._first_of([url, *others])

    async def anywhere(self, *, last: str = "") -> NatsLink:
        """Open a link to any server; ``last`` has just fallen silent and comes last.

        Raises:
            BusError, AccessDeniedError, TlsMaterialError: as `stay` does.
        """
        return await self._first_of(sorted(self._in_any_order(), key=lambda url: url == last))

    def elsewhere(self, url: str) -> list[str]:
        """Return all servers but ``url``, in any order."""
        return [other for other in self._in_any_order() if other != url]

    async def one(self, url: str) -> NatsLink:
        """Open a link to this very server, or raise what `stay` does."""
        return await self._link_type.open(self._target(url, self._credentials()))

    async def _first_of(self, urls: Sequence[str]) -> NatsLink:
        if not urls:
            raise BusError("no server configured")
        credentials = self._credentials()
        targets = [self._target(url, credentials) for url in urls]
        return await first_success(
            [partial(self._link_type.open, target) for target in targets],
            head_start=_HEAD_START,
            discard=lambda link: link.abort(),
        )

    def _in_any_order(self) -> list[str]:
        servers = list(self._settings.servers)
        start = self._entropy(1)[0] % len(servers)
        return servers[start:] + servers[:start]

    def _target(self, url: str, credentials: LinkCredentials) -> LinkTarget:
        return LinkTarget(
            url,
            credentials,
            inbox_prefix(self._user.account),
            self._user.client_name,
            self._settings.connect_timeout.total_seconds(),
        )
