"""Following one ConfigMap, level-triggered: what counts is what it says now, not each event.

A watch may end at any time, skip nothing or everything, or be told that its place in history is
gone (410). The answer to all of them is the same: list again, and watch from there.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import aiohttp
import msgspec
import structlog

from svc_core.adapters.kube import KubeApi, Named, error_of, kube_errors
from svc_core.errors import KubernetesError

log = structlog.get_logger()

Data = Mapping[str, str]

_WATCH_S: Final = 240
_SILENCE_S: Final = _WATCH_S + 20.0
_PAUSE_S: Final = 0.5
_OK, _GONE = 200, 410


async def follow_config_map(api: KubeApi, place: Named) -> AsyncGenerator[Data | None, None]:
    """Yield its data now and after every change, for ever; None while there is none.

    The same data may come twice; a change that was undone in between may not come at all.

    Raises:
        KubernetesError, AccessDeniedError: it cannot be listed now; follow again later.
    """
    while True:
        data, version = await _list(api, place)
        yield data
        try:
            async for changed in _watch(api, place, version):
                yield changed
        except KubernetesError as err:
            log.debug("watch.ended", name=place.name, reason=str(err))
        # A server that ends every watch at once must not be listed in a tight circle.
        await asyncio.sleep(_PAUSE_S)


async def _list(api: KubeApi, place: Named) -> tuple[Data | None, str]:
    found = await api.call(
        lambda core: core.list_namespaced_config_map(
            place.namespace, field_selector=_selector(place)
        )
    )
    data = dict(found.items[0].data or {}) if found.items else None
    return data, str(found.metadata.resource_version)


async def _watch(api: KubeApi, place: Named, version: str) -> AsyncIterator[Data | None]:
    """Yield from one watch until it ends."""
    with kube_errors():
        answer: object = await api.core.list_namespaced_config_map(
            place.namespace,
            field_selector=_selector(place),
            resource_version=version,
            watch=True,
            timeout_seconds=_WATCH_S,
            _preload_content=False,
        )
        response = cast("aiohttp.ClientResponse", answer)
        try:
            _require_stream(response)
            while line := await _line(response):
                event = _event(line)
                if event is not None:
                    yield event.data
        finally:
            response.close()


def _selector(place: Named) -> str:
    """Return the only selector with which a role limited to this name may list and watch."""
    return f"metadata.name={place.name}"


def _require_stream(response: aiohttp.ClientResponse) -> None:
    if response.status == _GONE:
        raise KubernetesError("410: the place in history to watch from is gone")
    if response.status != _OK:
        raise error_of(response.status, f"{response.status} {response.reason}")


async def _line(response: aiohttp.ClientResponse) -> bytes:
    async with asyncio.timeout(_SILENCE_S):
        return await response.content.readline()


@dataclass(frozen=True, slots=True)
class _Event:
    data: Data | None


def _event(line: bytes) -> _Event | None:
    """Return what one line of a watch says of the data; None when it says nothing of it."""
    try:
        event: dict[str, Any] = msgspec.json.decode(line, type=dict)
        kind, body = event["type"], event["object"]
        match kind:
            case "ERROR":
                raise KubernetesError(f"{body.get('code')}: {body.get('message')}")
            case "DELETED":
                return _Event(None)
            case "ADDED" | "MODIFIED":
                return _Event(dict(body.get("data") or {}))
            case _:
                return None
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as err:
        raise KubernetesError("a watch event that cannot be read") from err
