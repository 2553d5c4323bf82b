"""The verdict as people see it."""

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from console.verdict_table import print_verdict
from svc_core.domain.load_order import LoadOrder
from svc_core.domain.profiles import PROFILES
from svc_core.domain.traffic import count_traffic
from svc_core.domain.verdict import Circumstances, RotationFacts, judge

START = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
ORDER = LoadOrder("run", 1.0, START, START + timedelta(seconds=4))


def test_a_run_that_proved_nothing_says_so_in_plain_words() -> None:
    text = io.StringIO()
    facts = RotationFacts(frozenset(), ())
    circumstances = Circumstances(PROFILES["demo"], {})
    verdict = judge(count_traffic([], order=ORDER), facts, ORDER, circumstances)

    print_verdict(Console(file=text, width=80), verdict)

    shown = text.getvalue()
    assert "failed: no request was answered" in shown
    assert "failed: only 0 of 4 requests were sent" in shown
    assert "4.00 s" in shown
