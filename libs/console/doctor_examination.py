"""The table, tried on one listener after another, and what can be concluded from what was seen."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from console.doctor_cases import CASES, Case, Expectation, Reach, Shown, counter
from console.doctor_probe import Attempt, Seen, Target, probe
from console.doctor_wallet import NotInWalletError, Wallet
from svc_core.domain.tls import TlsMaterial
from svc_core.runtime import admin_metrics

_COUNTED: Final = frozenset({admin_metrics.HANDSHAKES_REFUSED, admin_metrics.REQUESTS_REFUSED})
_ASKS_FOR_STATUS: Final = frozenset({Shown.NONE, Shown.STRANGER, Shown.READER})
_COUNTED_WITHIN_S: Final = 2.0
_LOOK_AGAIN_S: Final = 0.1


class Verdict(StrEnum):
    """What one attempt showed."""

    OK = "as expected"
    ACCEPTED = "ACCEPTED"
    """It got further than it may."""
    UNCLEAR = "unclear"
    """It was refused, but not for the reason it should be, or nothing was served at all."""
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report."""

    target: str
    tried: str
    expected: str
    seen: str
    verdict: Verdict
    counted: str = ""
    """Every counter that moved, with by how much."""

    def as_document(self) -> dict[str, str]:
        """Return the row as JSON-shaped data."""
        return {
            "target": self.target,
            "tried": self.tried,
            "expected": self.expected,
            "seen": self.seen,
            "counted": self.counted,
            "verdict": self.verdict.value,
        }


@dataclass(frozen=True, slots=True)
class Control:
    """A good request between two attempts."""

    seen: Seen
    counts: Mapping[str, float]

    @property
    def is_served(self) -> bool:
        """Whether the listener works."""
        return self.seen.reach is Reach.SERVED


async def examine(target: Target, wallet: Wallet) -> list[Finding]:
    """Try every case on ``target``, each between two controls."""
    findings = []
    before = await _control(target, wallet)
    for case in CASES:
        if case.expectation(target.kind) is not None:
            finding, before = await _try(target, wallet, case, before)
            findings.append(finding)
    return findings


async def _try(
    target: Target, wallet: Wallet, case: Case, before: Control
) -> tuple[Finding, Control]:
    expected = case.expectation(target.kind) or Expectation(Reach.UNREACHABLE)
    try:
        attempt = Attempt(
            wallet.trust(),
            _shown(wallet, case.shows),
            case.speaks,
            "/status" if case.shows in _ASKS_FOR_STATUS else "/healthz",
        )
    except NotInWalletError as err:
        return _finding(target, case, str(err), Verdict.NOT_TRIED), before
    seen = await asyncio.to_thread(probe, target, attempt)
    after = await _control(target, wallet)
    deadline = asyncio.get_running_loop().time() + _COUNTED_WITHIN_S
    # A refusal is counted a moment after the other side has seen it.
    while expected.counted and not _has_moved(expected, before, after):
        if asyncio.get_running_loop().time() > deadline or not after.is_served:
            break
        await asyncio.sleep(_LOOK_AGAIN_S)
        after = await _control(target, wallet)
    moved = _moved(before, after)
    verdict = judge(expected, seen, moved, controls=(before, after))
    text = f"{seen.reach.label}: {seen.detail}"
    if not (before.is_served and after.is_served):
        failed = after if before.is_served else before
        text += f"; the control is {failed.seen.reach.label}: {failed.seen.detail}"
    counted = ", ".join(f"{name} +{by:g}" for name, by in moved.items())
    return _finding(target, case, text, verdict, counted), after


def judge(
    expected: Expectation,
    seen: Seen,
    moved: Mapping[str, float],
    *,
    controls: Sequence[Control] = (),
) -> Verdict:
    """Say what an attempt showed.

    Args:
        expected: what must come of it.
        seen: what came of it.
        moved: by how much which counters moved meanwhile.
        controls: good requests before and after.
    """
    if seen.reach > expected.reach:
        return Verdict.ACCEPTED
    if seen.reach < expected.reach or expected.because not in seen.detail:
        return Verdict.UNCLEAR
    if expected.counted and moved.get(expected.counted, 0) < 1:
        return Verdict.UNCLEAR
    return Verdict.OK if all(c.is_served for c in controls) else Verdict.UNCLEAR


async def _control(target: Target, wallet: Wallet) -> Control:
    """Ask for what everybody with a good certificate gets."""
    try:
        shown = wallet.show(Shown.GOOD)
    except NotInWalletError:
        shown = None
    seen = await asyncio.to_thread(probe, target, Attempt(wallet.trust(), shown, path="/metrics"))
    return Control(seen, read_counts(seen.body))


def read_counts(exposition: str) -> dict[str, float]:
    """Return the counters of refusals in a page of metrics, as `counter` writes them."""
    return {
        counter(sample.name, next(iter(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name in _COUNTED and sample.labels
    }


def _shown(wallet: Wallet, shown: Shown) -> TlsMaterial | None:
    return None if shown is Shown.NONE else wallet.show(shown)


def _has_moved(expected: Expectation, before: Control, after: Control) -> bool:
    return _moved(before, after).get(expected.counted, 0) > 0


def _moved(before: Control, after: Control) -> dict[str, float]:
    return {
        name: count - before.counts.get(name, 0)
        for name, count in after.counts.items()
        if count != before.counts.get(name, 0)
    }


def _finding(target: Target, case: Case, seen: str, verdict: Verdict, counted: str = "") -> Finding:
    expected = case.expectation(target.kind) or Expectation(Reach.UNREACHABLE)
    says = f": {expected.because}" if expected.because else ""
    counts = f", counted as {expected.counted}" if expected.counted else ""
    return Finding(
        target=target.name,
        tried=case.name,
        expected=f"{expected.reach.label}{says}{counts}",
        seen=seen,
        verdict=verdict,
        counted=counted,
    )


def is_sound(findings: Sequence[Finding]) -> bool:
    """Say whether everything that was tried came out as expected, and something was tried."""
    tried = [f for f in findings if f.verdict is not Verdict.NOT_TRIED]
    return bool(tried) and all(f.verdict is Verdict.OK for f in tried)
