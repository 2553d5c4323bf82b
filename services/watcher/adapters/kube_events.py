"""`OperatorEvents` as Kubernetes Events on the Secret and on the pods.

Bounded in every direction: once per change, at most so many waiting, and an API that does not
take them costs nothing but the events.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from svc_core.adapters.kube import KubeApi, Named
from svc_core.errors import SvcError
from svc_core.ports.time import Clock

log = structlog.get_logger()

APPLIED: Final = "RotationApplied"
FAILED: Final = "ReloadFailed"
SLOW: Final = "PropagationSlow"
COMPONENT: Final = "watcher"

_WAITING: Final = 64
_PAUSES_S: Final = (0.5, 2.0, 5.0, 0.0)
"""After each attempt that failed; then the event is given up."""
_MESSAGE_LENGTH: Final = 1024
_NORMAL, _WARNING = "Normal", "Warning"


@dataclass(frozen=True, slots=True)
class _Note:
    kind: str
    name: str
    reason: str
    message: str


class KubeEvents:
    """The loop that writes what the flows say; saying it never waits."""

    name: Final = "kube_events"

    def __init__(self, api: KubeApi, secret: Named, clock: Clock, instance: str) -> None:
        self._api = api
        self._secret = secret
        self._clock = clock
        self._instance = instance
        self._notes: asyncio.Queue[_Note] = asyncio.Queue(_WAITING)
        self._last: dict[tuple[str, str], _Note] = {}
        self._trouble = ""

    def applied(self, *, version: int, active: str) -> None:
        """Say on the Secret that every server runs with this version."""
        for known in [key for key in self._last if key[1] != APPLIED]:
            del self._last[known]
        message = f"every server runs with version {version}, active issuer {active}"
        self._say(_Note("Secret", self._secret.name, APPLIED, message))

    def reload_failed(self, server: str, reason: str) -> None:
        """Say on the pod that it did not take what was published."""
        self._say(_Note("Pod", server, FAILED, reason))

    def propagation_slow(self, server: str, waited: timedelta) -> None:
        """Say on the pod that the Secret has not reached it."""
        message = f"Secret {self._secret.name} has not reached this pod for {waited.seconds} s"
        self._say(_Note("Pod", server, SLOW, message))

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._write_next()

    async def flush(self) -> None:
        """Write what waits and return."""
        while not self._notes.empty():
            await self._write_next()

    async def _write_next(self) -> None:
        note = await self._notes.get()
        for pause_s in _PAUSES_S:
            try:
                await self._write(note)
            except SvcError as err:
                self._report(err)
                await asyncio.sleep(pause_s)
            else:
                self._trouble = ""
                return

    def _say(self, note: _Note) -> None:
        key = (note.name, note.reason)
        if self._last.get(key) == note or self._notes.full():
            return
        self._last[key] = note
        self._notes.put_nowait(note)

    async def _write(self, note: _Note) -> None:
        now = self._clock.now().isoformat(timespec="seconds")
        namespace = self._secret.namespace
        body = {
            "metadata": {"generateName": f"{note.name}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": note.kind,
                "namespace": namespace,
                "name": note.name,
            },
            "type": _NORMAL if note.reason == APPLIED else _WARNING,
            "reason": note.reason,
            "message": note.message[:_MESSAGE_LENGTH],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance,
        }
        await self._api.send(self._api.core.create_namespaced_event, namespace, body)

    def _report(self, err: SvcError) -> None:
        if err.code != self._trouble:
            log.warning("events.not_written", code=err.code, reason=str(err))
        self._trouble = err.code
