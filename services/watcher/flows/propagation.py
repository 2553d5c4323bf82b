"""How long what was published takes to reach each server, as the servers say it themselves.

On one machine it is there at once. In Kubernetes a kubelet copies it, usually within seconds and
sometimes after two minutes; until then a reload finds the old files, which is neither a failure
nor a reason to ask four times a second.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from svc_core.ports.time import Clock

log = structlog.get_logger()

SLOW: Final = timedelta(seconds=60)
"""After this long somebody should hear of it."""


@dataclass(slots=True)
class _Awaited:
    digest: str
    since: float
    was_missed: bool = False
    is_reported: bool = False


class Propagation:
    """What each server has yet to see, and since when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._awaited: dict[str, _Awaited] = {}
        self._seen: dict[str, str] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """Servers that were reloaded and still had the former files."""
        return tuple(server for server, a in self._awaited.items() if a.was_missed)

    @property
    def is_slow(self) -> bool:
        """Whether any server has been waited for too long."""
        return any(self._waited(a) > SLOW for a in self._awaited.values())

    def begin(self, server: str, digest: str) -> bool:
        """Note that ``digest`` is published for ``server``; return whether that is news."""
        awaited = self._awaited.get(server)
        if digest == (awaited.digest if awaited else self._seen.get(server)):
            return False
        self._awaited[server] = _Awaited(digest, self._clock.monotonic())
        return True

    def missed(self, server: str) -> timedelta | None:
        """Note that ``server`` still had the former files when it was reloaded.

        Returns:
            How long it has been waited for, once, when that has become too long.
        """
        awaited = self._awaited.get(server)
        if awaited is None:
            # It answered with former files after all, or was started again with them.
            awaited = _Awaited(self._seen.pop(server, ""), self._clock.monotonic())
            self._awaited[server] = awaited
        if not awaited.was_missed:
            awaited.was_missed = True
            log.info("propagation.awaited", server=server)
        waited = self._waited(awaited)
        if waited <= SLOW or awaited.is_reported:
            return None
        awaited.is_reported = True
        log.warning("propagation.slow", server=server, waited_s=round(waited.total_seconds()))
        return waited

    def arrived(self, server: str) -> timedelta | None:
        """Note that ``server`` runs with what was published for it.

        Returns:
            How long that took; None when nothing was waited for.
        """
        awaited = self._awaited.pop(server, None)
        if awaited is None:
            return None
        self._seen[server] = awaited.digest
        waited = self._waited(awaited)
        if awaited.was_missed:
            elapsed_ms = round(waited.total_seconds() * 1000, 1)
            log.info("propagation.completed", server=server, elapsed_ms=elapsed_ms)
        return waited

    def _waited(self, awaited: _Awaited) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - awaited.since)
