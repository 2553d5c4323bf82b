"""What people read: progress by the line, figures with their spread, targets met or missed."""

import pytest
from rich.console import Console

from benchmarks.machine import Machine
from benchmarks.report import BenchReport, Figure, LoadFigure, Percentiles, Target
from benchmarks.rounds import Plan
from benchmarks.spread import Spread
from console.bench_display import open_progress, report_tables

RATE = Spread(median=1250, p10=1200, p90=1300, least=1100, most=1400)
SHARE = Spread(median=0.95, p10=0.93, p90=0.97, least=0.9, most=1.0)
LAG = Percentiles(0.1, 0.2, 0.3, 0.4)
REPORT = BenchReport(
    benchmark="messages",
    machine=Machine("Some CPU", (0, 1), (0.5, 0.25, 0.125), "Linux 6"),
    versions={"python": "3.11.7", "openssl": "OpenSSL 4"},
    plan=Plan(1.0, 5, 0.25),
    settings={"algorithm": "ML-DSA-65"},
    figures=(
        Figure("bare sign", "1 core", RATE, busy=SHARE),
        Figure("seal single", "1 core", RATE, SHARE, "bare sign", busy=SHARE),
    ),
    loads=(LoadFigure("idle", 0, 0, 0, 0, None, None, LAG, RATE),),
    targets=(
        Target("quick", ">= 1", "2", is_met=True),
        Target("small", "<= 1", "2", is_met=False),
    ),
    notes=("the machine was busy",),
)


def lines(report: BenchReport) -> list[str]:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(report_tables(report))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_the_header_says_where_with_what_and_how_long() -> None:
    header = lines(REPORT)[:3]

    assert header == [
        "Some CPU, 2 usable cores, load 0.50 0.25 0.12 before; Linux 6",
        "python 3.11.7, openssl OpenSSL 4",
        "algorithm ML-DSA-65; 5 repeats of 1 s in slices of 0.25 s",
    ]


@pytest.mark.parametrize(
    "row",
    [
        "bare sign 1 core 1,250 ± 50 800.0 us - 0.95 ± 0.02",
        "seal single 1 core 1,250 ± 50 800.0 us 0.95 ± 0.02 0.95 ± 0.02",
        "idle 0 0 0 0 - - - 0.1 1250.0 ± 50.0",
        "quick >= 1 2 met",
        "small <= 1 2 missed",
        "the machine was busy",
    ],
)
def test_each_finding_has_its_row(row: str) -> None:
    assert row in lines(REPORT)


def test_progress_is_a_line_per_step_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_progress() as show:
        for share in (0.0, 0.25):
            show("repeat 1 of 2", share)
        show("repeat 2 of 2", 0.5)

    said = capsys.readouterr()
    assert said.err == "  0% repeat 1 of 2\n 50% repeat 2 of 2\n"
    assert said.out == ""


def test_the_document_holds_what_the_tables_hold() -> None:
    document = REPORT.as_document()

    assert document["machine"]["load"] == [0.5, 0.25, 0.125]
    assert document["figures"][1]["to_base"]["median"] == 0.95
    assert document["loads"][0]["latency"] is None
    assert [target["is_met"] for target in document["targets"]] == [True, False]
