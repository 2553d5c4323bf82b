"""Watching over the certificates in use: metrics, one log line per change, and readiness.

Nothing is mended here. A certificate that comes to its end because nothing new arrives makes no
error anywhere else, so somebody has to look at the clock.
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final, Protocol

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from svc_core.domain.tls import TlsHealth, TlsState
from svc_core.runtime.health import Health

log = structlog.get_logger()

TLS_STATE: Final = "st_tls_state"
TLS_REMAINING: Final = "st_tls_remaining_seconds"
TLS_GENERATION: Final = "st_tls_generation"
TLS_FAILURES: Final = "st_tls_failures_total"

_LOOK_EVERY: Final = timedelta(seconds=1)
_BUDGET: Final = 3 * _LOOK_EVERY


class TlsHolder(Protocol):
    """Who holds one identity's material."""

    @property
    def health(self) -> TlsHealth:
        """How it is now."""
        ...


class TlsWatch:
    """The loop that looks at every identity once a second."""

    name: Final = "tls_watching"

    def __init__(self, holders: Mapping[str, TlsHolder], health: Health) -> None:
        """Watch ``holders``, which are looked up each time: more may come.

        Args:
            holders: by the name of the identity.
            health: ready only while no identity is expired.
        """
        self._holders = holders
        self._health = health
        self._known: dict[str, TlsState] = {}
        health.expect(self.name, _BUDGET)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self._look()
            await asyncio.sleep(_LOOK_EVERY.total_seconds())

    def _look(self) -> None:
        expired = []
        for name, holder in tuple(self._holders.items()):
            found = holder.health
            self._report(name, found)
            if found.state is TlsState.EXPIRED:
                expired.append(name)
        if expired:
            self._health.fail(self.name, f"no valid certificate: {', '.join(expired)}")
        else:
            self._health.beat(self.name)

    def _report(self, name: str, found: TlsHealth) -> None:
        before = self._known.get(name)
        # Without material at first there is nothing to lose yet.
        is_news = before is not found.state and (before is not None or found.generation > 0)
        if not is_news:
            return
        self._known[name] = found.state
        if found.state is TlsState.OK:
            write = log.info
        else:
            write = log.warning if found.state is TlsState.DEGRADED else log.error
        write(
            "tls.state_changed",
            identity=name,
            state=found.state.label,
            before=before.label if before is not None else "",
            issuer=found.issuer,
            remaining_s=round(found.remaining.total_seconds(), 1),
            generation=found.generation,
            failures=found.failures,
            last_error=found.last_error,
        )


class TlsCollector(Collector):
    """Exports every identity's health, read when it is scraped."""

    def __init__(self, holders: Mapping[str, TlsHolder]) -> None:
        self._holders = holders

    def collect(self) -> Iterator[Metric]:
        """Yield the four metrics, labelled by identity."""
        label = ("identity",)
        state = GaugeMetricFamily(
            TLS_STATE, "0 ok, 1 degraded, 2 critical, 3 expired.", labels=label
        )
        remaining = GaugeMetricFamily(
            TLS_REMAINING, "Seconds left of the certificate in use.", labels=label
        )
        generation = GaugeMetricFamily(
            TLS_GENERATION, "How often new material was taken over.", labels=label
        )
        failures = CounterMetricFamily(TLS_FAILURES, "New material that was refused.", labels=label)
        for name, holder in tuple(self._holders.items()):
            found = holder.health
            state.add_metric((name,), int(found.state))
            remaining.add_metric((name,), found.remaining.total_seconds())
            generation.add_metric((name,), found.generation)
            failures.add_metric((name,), found.failures)
        yield from (state, remaining, generation, failures)


def export_tls(registry: CollectorRegistry, holders: Mapping[str, TlsHolder]) -> None:
    """Register the metrics of ``holders``; more may come later."""
    registry.register(TlsCollector(holders))
