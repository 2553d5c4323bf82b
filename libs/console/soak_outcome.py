"""What came out of many rotations: what was measured, and what speaks against it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from console.soak_refusals import Refusals
from console.soak_trends import LEAST_SAMPLES, Trend, quantile
from devstack.light_crowd import LightCounts
from svc_core.domain.verdict import Verdict

END_TO_END_MS: Final = 2000.0
"""What 95 of 100 rotations must not exceed, end to end."""


@dataclass(frozen=True, slots=True)
class RotationsOptions:
    """What the rotations section was asked for."""

    root: Path
    """Of the section's own stack; emptied first."""
    rotations: int
    clients: int
    rate: float
    """Requests per second."""
    base_port: int | None = None


@dataclass(slots=True)
class Sampling:
    """The samples of one run, in the order of their rotations."""

    epochs: list[int] = field(default_factory=list)
    figures: list[Mapping[str, float]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Why samples could not be taken."""


@dataclass(frozen=True, slots=True)
class RotationsOutcome:
    """What came out of the rotations section."""

    options: RotationsOptions
    verdict: Verdict
    end_to_end_ms: Mapping[int, float]
    """By CA epoch; of the rotations that were asked for."""
    light: LightCounts | None
    refusals: Refusals
    sampling: Sampling
    trends: tuple[Trend, ...]

    @property
    def p95_ms(self) -> float | None:
        """What 95 of 100 rotations did not exceed."""
        return quantile(list(self.end_to_end_ms.values()), 0.95)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the section did not prove what it should; empty when it did."""
        p95, light = self.p95_ms, self.light
        claims = [
            (self.verdict.restarts > 0, f"{self.verdict.restarts} processes died"),
            (
                p95 is None or p95 > END_TO_END_MS,
                f"95 of 100 rotations took up to {p95} ms; {END_TO_END_MS:g} ms are allowed",
            ),
            (self.refusals.total > 0, f"{self.refusals.total} handshakes or connections failed"),
            (bool(self.sampling.missed), f"{len(self.sampling.missed)} samples are missing"),
        ]
        if self.options.clients:
            claims += _claims_on(light, self.options.clients)
        found = [reason for is_true, reason in claims if is_true]
        growing = (f"{t.name} grew by {t.growth:g}" for t in self.trends if not t.is_flat)
        return (*self.verdict.reasons, *found, *growing)

    def as_document(self) -> dict[str, object]:
        """Return the outcome as JSON-shaped data."""
        times = list(self.end_to_end_ms.values())
        return {
            "good": not self.reasons,
            "reasons": list(self.reasons),
            "rotations": self.options.rotations,
            "clients": self.options.clients,
            "end_to_end_ms": {
                "p50": quantile(times, 0.5),
                "p95": self.p95_ms,
                "max": max(times, default=None),
                "by_epoch": {str(e): ms for e, ms in sorted(self.end_to_end_ms.items())},
            },
            "verdict": self.verdict.as_document(),
            "light_clients": asdict(self.light) if self.light else None,
            "refusals": asdict(self.refusals) | {"total": self.refusals.total},
            "growth_judged": len(self.sampling.figures) >= LEAST_SAMPLES,
            "trends": [asdict(t) | {"flat": t.is_flat} for t in self.trends],
            "missed_samples": self.sampling.missed,
            "samples": [
                {"epoch": epoch, "figures": dict(figures)}
                for epoch, figures in zip(self.sampling.epochs, self.sampling.figures, strict=True)
            ],
        }


def _claims_on(light: LightCounts | None, wanted: int) -> list[tuple[bool, str]]:
    if light is None:
        return [(True, "the light clients never said how they are")]
    return [
        (
            light.connected < wanted,
            f"only {light.connected} of {wanted} light clients are connected",
        ),
        (light.losses > 0, f"light clients lost {light.losses} connections"),
        (light.failures > 0, f"light clients failed {light.failures} times: {light.last_failure}"),
    ]
