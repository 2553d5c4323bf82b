"""The verdict as a table for people."""

from typing import Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from svc_core.domain.verdict import Verdict

_MS_PER_S: Final = 1000


def verdict_table(verdict: Verdict) -> Group:
    """Return the table and, below it, whether the run proved what it should, or why not."""
    table = Table(title=f"Verdict on {verdict.run_id}", show_header=False, title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    for what, value in _rows(verdict):
        table.add_row(what, value)
    if verdict.is_good:
        return Group(table, Text("nothing was lost, nothing was doubled", style="bold green"))
    return Group(table, *(Text(f"failed: {r}", style="bold red") for r in verdict.reasons))


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print the verdict for people."""
    console.print(verdict_table(verdict))


def _rows(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    latency = verdict.latency_ms
    return (
        ("profile", verdict.profile),
        ("load", f"{verdict.rate:g}/s for {verdict.duration_s:g} s"),
        ("CA rotations", f"{verdict.ca_rotations} of {verdict.planned_ca_rotations}"),
        ("key rotations", f"{verdict.key_rotations} of {verdict.planned_key_rotations}"),
        ("connection swaps and reloads", str(verdict.swaps)),
        ("sent", f"{verdict.sent} of {verdict.offered}"),
        ("received", str(verdict.received)),
        ("answered", str(verdict.answered)),
        ("lost", str(verdict.lost)),
        ("duplicated", str(verdict.duplicated)),
        ("redelivered", str(verdict.redelivered)),
        ("rejected", str(verdict.rejected)),
        ("in doubt", str(verdict.in_doubt)),
        ("skipped", str(verdict.skipped)),
        ("restarts", str(verdict.restarts)),
        ("latency p50", _ms(latency["p50"])),
        ("latency p99", _ms(latency["p99"])),
        ("latency p99.9", _ms(latency["p999"])),
        ("latency max", _ms(latency["max"])),
        ("longest gap", _ms(verdict.longest_gap_ms)),
        ("longest gap during a swap", _ms(verdict.longest_gap_during_swap_ms)),
    )


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / _MS_PER_S:.2f} s" if value >= _MS_PER_S else f"{value:.1f} ms"
