"""What an examination found, for a person or a tool."""

import json
import re
import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.doctor_examination import Finding, Verdict, is_sound

_COUNTER: Final = re.compile(r"\w+\{(\w+)\}")
_STYLES: Final = {
    Verdict.OK: "green",
    Verdict.ACCEPTED: "bold red",
    Verdict.UNCLEAR: "yellow",
    Verdict.NOT_TRIED: "dim",
}


def report(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print what was tried, expected and seen, and what it comes to."""
    if as_json:
        document = {
            "sound": is_sound(findings),
            "findings": [finding.as_document() for finding in findings],
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    console = Console()
    for target in dict.fromkeys(finding.target for finding in findings):
        console.print(_table(target, [f for f in findings if f.target == target]))
    console.print(summary(findings), markup=False, highlight=False)


def summary(findings: Sequence[Finding]) -> str:
    """Return one line: how many came out how."""
    counts = {
        verdict.value: sum(f.verdict is verdict for f in findings)
        for verdict in Verdict
        if any(f.verdict is verdict for f in findings)
    }
    numbers = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{len(findings)} attempts: {numbers}"


def _table(target: str, findings: Sequence[Finding]) -> Table:
    table = Table("tried", "expected", "seen", "counted", "verdict", title=target)
    for finding in findings:
        table.add_row(
            finding.tried,
            Text(_short(finding.expected)),
            Text(finding.seen),
            Text(_short(finding.counted)),
            Text(finding.verdict.value, style=_STYLES[finding.verdict]),
        )
    return table


def _short(text: str) -> str:
    """Return ``text`` with counters by their label alone; ``--json`` has them in full."""
    return _COUNTER.sub(r"\1", text)
