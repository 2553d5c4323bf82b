"""What a person sees while something runs: a live table on a terminal, else a line now and then."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from console.observation import ServiceView

_LINE_EVERY_S: Final = 5.0
_KEPT_NOTES: Final = 6
_BAR_WIDTH: Final = 60


class Phase(StrEnum):
    """What is going on."""

    BOOT = "starting"
    LOAD = "under load"
    IDLE = "running"
    DRAIN = "waiting for the last answers"
    ROTATIONS = "waiting for the last rotation"


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of a run."""

    phase: Phase
    share: float | None
    """Share of the run that is over, 0 to 1; None for one without an end."""
    services: tuple[ServiceView, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)


class Display(Protocol):
    """Shows scenes and notes."""

    def note(self, text: str) -> None:
        """Say something that happened."""
        ...

    def show(self, scene: Scene) -> None:
        """Show how it is now."""
        ...


class PlainDisplay:
    """Prints notes as they come and a line about the scene every five seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_line_s: float | None = None
        self._last_phase: Phase | None = None

    def note(self, text: str) -> None:
        """Print ``text``."""
        self._print(text)

    def show(self, scene: Scene) -> None:
        """Print a line when the last one is old or the phase is new."""
        now = asyncio.get_running_loop().time()
        is_due = self._last_line_s is None or now - self._last_line_s >= _LINE_EVERY_S
        if is_due or scene.phase is not self._last_phase:
            self._print(scene_line(scene))
            self._last_line_s, self._last_phase = now, scene.phase

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveDisplay:
    """Redraws a table in place."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._notes: list[str] = []
        self._scene = Scene(Phase.BOOT, None)

    def note(self, text: str) -> None:
        """Show ``text`` below the table, with the few before it."""
        self._notes = [*self._notes, text][-_KEPT_NOTES:]
        self._draw()

    def show(self, scene: Scene) -> None:
        """Draw ``scene``."""
        self._scene = scene
        self._draw()

    def _draw(self) -> None:
        body: list[RenderableType] = [Text(str(self._scene.phase), style="bold")]
        if self._scene.share is not None:
            body.append(ProgressBar(total=1.0, completed=self._scene.share, width=_BAR_WIDTH))
        if self._scene.services:
            body.append(services_table(self._scene))
        body += [Text(note, style="dim") for note in self._notes]
        self._live.update(Group(*body), refresh=True)


@contextmanager
def open_display(console: Console) -> Iterator[Display]:
    """Yield the display that suits ``console``."""
    if not console.is_terminal:
        yield PlainDisplay(console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveDisplay(live)


def scene_line(scene: Scene) -> str:
    """Return one line about ``scene``."""
    progress = f" {scene.share:.0%}" if scene.share is not None else ""
    counters = traffic_of(scene.services)
    numbers = " ".join(f"{name}={count}" for name, count in counters.items())
    services = " ".join(_short(view) for view in scene.services)
    restarted = sum(scene.restarts.values())
    return f"{scene.phase}{progress}: {numbers} | {services} | restarts={restarted}"


def traffic_of(services: tuple[ServiceView, ...]) -> dict[str, int]:
    """Return the counters of the load services, both ends of each number where it has two."""
    by_name = {view.name: view.counters for view in services}
    asker, answerer = by_name.get("gatekeeper", {}), by_name.get("authcontroller", {})
    counts = {name: asker.get(name, 0) for name in ("sent", "acked", "answered")}
    for name in ("redelivered", "rejected"):
        counts[name] = asker.get(name, 0) + answerer.get(name, 0)
    return counts


def services_table(scene: Scene) -> Group:
    """Return the table of services with the traffic, and what services wait for, below."""
    table = Table("service", "pid", "ready", "issuer", "key epoch", "restarts")
    for view in scene.services:
        restarts = scene.restarts.get(view.name, view.restarts)
        ready = Text("yes", style="green") if view.is_ready else Text("no", style="red")
        cells = (_text(view.pid), ready, view.issuer or "-", _text(view.key_epoch), _text(restarts))
        table.add_row(view.name, *cells)
    servers = {n: c for n, c in scene.restarts.items() if c and n not in _names(scene.services)}
    for name, count in servers.items():
        table.add_row(name, "", "", "", "", str(count))
    counters = " ".join(f"{name} {count}" for name, count in traffic_of(scene.services).items())
    waits = (Text(f"{v.name}: {v.detail}", style="red") for v in scene.services if v.detail)
    return Group(table, Text(counters, style="dim"), *waits)


def _names(services: tuple[ServiceView, ...]) -> frozenset[str]:
    return frozenset(view.name for view in services)


def _short(view: ServiceView) -> str:
    return f"{view.name}:{view.issuer or '-'}/{_text(view.key_epoch)}{'' if view.is_ready else '!'}"


def _text(value: object) -> str:
    return "-" if value is None else str(value)
