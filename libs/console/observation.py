"""How a running stack is: asked from the services themselves, at this moment."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from devstack.admin import fetch_admin
from devstack.errors import ServiceUnreachableError
from devstack.layout import SERVICES, Layout
from devstack.registry import read_record
from svc_core.runtime import metrics as rotation_metrics
from svc_core.runtime import traffic_metrics

_ISSUER: Final = f"{rotation_metrics.ISSUER}_info"
_COUNTERS: Final = {
    traffic_metrics.SENT: "sent",
    traffic_metrics.ACKED: "acked",
    traffic_metrics.RECEIVED: "received",
    traffic_metrics.ANSWERED: "answered",
    traffic_metrics.REDELIVERED: "redelivered",
    traffic_metrics.REJECTED: "rejected",
}


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service as it is now; counters count since its process started."""

    name: str
    pid: int | None = None
    is_ready: bool = False
    detail: str = ""
    """What it waits for, or why it cannot be asked."""
    issuer: str = ""
    key_epoch: int | None = None
    """Newest key epoch it holds keys for; None for a service that needs none."""
    restarts: int | None = None
    """None where the supervisor is another process."""
    counters: Mapping[str, int] = field(default_factory=dict)

    def as_document(self) -> dict[str, object]:
        """Return the view as JSON-shaped data."""
        return asdict(self)


async def observe(layout: Layout, *, detailed: bool = False) -> tuple[ServiceView, ...]:
    """Ask every service; one that does not answer is part of the answer.

    Args:
        layout: where the stack is.
        detailed: also ask what each service waits for.
    """
    record = read_record(layout.stack_file)
    alive = {c.name: c.process.pid for c in record.children if c.process.is_alive} if record else {}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_observe_one(layout, name, detailed)) for name in SERVICES]
    return tuple(replace(task.result(), pid=alive.get(task.result().name)) for task in tasks)


async def _observe_one(layout: Layout, name: str, detailed: bool) -> ServiceView:
    try:
        answer = await fetch_admin(layout, name, "/metrics")
        view = read_metrics(name, answer.text)
        if detailed:
            ready = await fetch_admin(layout, name, "/readyz")
            view = replace(view, is_ready=ready.is_ok, detail=waits_for(ready.text))
    except ServiceUnreachableError as err:
        return ServiceView(name, detail=str(err))
    return view


def read_metrics(name: str, exposition: str) -> ServiceView:
    """Return what one service's metrics say, in Prometheus' text format."""
    view = ServiceView(name)
    counters = dict.fromkeys(_COUNTERS.values(), 0)
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name in _COUNTERS:
                counters[_COUNTERS[sample.name]] += int(sample.value)
            elif sample.name == _ISSUER:
                view = replace(view, issuer=sample.labels.get("issuer", ""))
            elif sample.name == rotation_metrics.KEY_EPOCH:
                view = replace(view, key_epoch=int(sample.value) or None)
            elif sample.name == rotation_metrics.READY:
                view = replace(view, is_ready=sample.value == 1)
    return replace(view, counters=counters)


def waits_for(readiness: str) -> str:
    """Return what a ``/readyz`` body says is missing; empty when nothing is."""
    try:
        loops = json.loads(readiness)["loops"]
        return "; ".join(
            f"{name}: {loop['detail']}" for name, loop in loops.items() if not loop["ok"]
        )
    except (ValueError, KeyError, TypeError):
        return "its answer cannot be read"
