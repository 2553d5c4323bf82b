"""What a person sees, on a terminal and in a file."""

import asyncio
import io

from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from console.displays import Phase, Scene, open_display, scene_line
from console.observation import ServiceView, read_metrics, waits_for
from svc_core.runtime.metrics import RotationMetrics, StateReadings, export_state
from svc_core.runtime.traffic_metrics import TrafficMetrics

VIEWS = (
    ServiceView("gatekeeper", 7, True, "", "ca-5-1", 9, None, {"sent": 3, "answered": 2}),
    ServiceView("authcontroller", None, False, "does not answer"),
)
SCENE = Scene(Phase.LOAD, 0.5, VIEWS, {"authcontroller": 1, "n2": 2})


def test_a_line_says_everything_that_matters() -> None:
    assert scene_line(SCENE) == (
        "under load 50%: sent=3 acked=0 answered=2 redelivered=0 rejected=0 | "
        "gatekeeper:ca-5-1/9 authcontroller:-/-! | restarts=3"
    )


async def test_a_file_gets_a_line_every_five_seconds_and_one_per_phase() -> None:
    text = io.StringIO()

    with open_display(Console(file=text, width=80)) as display:
        display.note("booting [bold]")
        for _ in range(12):
            display.show(SCENE)
            await asyncio.sleep(1)
        display.show(Scene(Phase.DRAIN, 1.0))

    lines = text.getvalue().splitlines()
    assert lines[0] == "booting [bold]"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        *["under load 50%"] * 3,
        "waiting for the last answers 100%",
    ]


def test_a_terminal_gets_a_table() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120)

    with open_display(console) as display:
        display.note("NATS listens")
        display.show(SCENE)

    shown = text.getvalue()
    assert [
        word for word in ("ca-5-1", "NATS listens", "n2", "does not") if word not in shown
    ] == []


def test_metrics_are_read_as_the_services_write_them() -> None:
    registry = CollectorRegistry()
    RotationMetrics(registry).uses("ca-12-1")
    export_state(registry, StateReadings(lambda: 3, lambda: 44, lambda: 1, lambda: 9.5))
    traffic = TrafficMetrics(registry)
    traffic.sent()
    traffic.rejected("message.stale")
    traffic.rejected("message.malformed")

    view = read_metrics("gatekeeper", generate_latest(registry).decode())

    assert (view.is_ready, view.issuer, view.key_epoch) == (True, "ca-12-1", 44)
    assert (view.counters["sent"], view.counters["rejected"]) == (1, 2)


def test_readiness_says_what_is_missing() -> None:
    body = (
        '{"ready": false, "loops": {"a": {"ok": true, "detail": "fine"}, '
        '"b": {"ok": false, "detail": "late"}}}'
    )

    assert waits_for(body) == "b: late"
    assert waits_for("nonsense") == "its answer cannot be read"
