"""`StreamDeclaration` on JetStream's API, by requests that name exactly what they touch."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from svc_core.adapters.nats_connection import NatsConnection
from svc_core.domain.subjects import DUPLICATE_WINDOW, DurableSpec, StreamSpec
from svc_core.errors import BusError

_NANOSECONDS: Final = 1_000_000_000
_TIMEOUT_S: Final = 1.5
_EXISTS_DIFFERENTLY: Final = 10058
_NOT_CHANGEABLE: Final = 10052


class JetStreamDeclaration:
    """Creates or updates streams and durables."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection

    async def declare(
        self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec], *, replicas: int
    ) -> None:
        """Create or update each; raise `BusError` when JetStream cannot now."""
        for stream in streams:
            config = _stream_config(stream, replicas)
            answer = await self._ask(f"STREAM.CREATE.{stream.name}", config)
            if _error_code(answer) == _EXISTS_DIFFERENTLY:
                answer = await self._update(stream, config)
            _require_success(answer, stream.name)
        for durable in durables:
            subject = f"CONSUMER.CREATE.{durable.stream}.{durable.name}.{durable.filter_subject}"
            answer = await self._ask(subject, _consumer_request(durable))
            _require_success(answer, durable.name)

    async def _update(self, spec: StreamSpec, config: dict[str, Any]) -> dict[str, Any]:
        subject = f"STREAM.UPDATE.{spec.name}"
        answer = await self._ask(subject, config)
        if spec.deletable and _error_code(answer) == _NOT_CHANGEABLE:
            # Made by an earlier version, and what a stream once denied it denies for good: then
            # single messages cannot be removed, which is no reason to stop.
            answer = await self._ask(subject, {**config, "deny_delete": True})
        return answer

    async def _ask(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        raw = await self._connection.request_raw(
            f"$JS.API.{subject}", msgspec.json.encode(body), timeout_s=_TIMEOUT_S
        )
        try:
            return dict(msgspec.json.decode(raw))
        except (msgspec.DecodeError, TypeError, ValueError) as err:
            raise BusError(f"JetStream's answer on {subject} cannot be read") from err


def _stream_config(spec: StreamSpec, replicas: int) -> dict[str, Any]:
    return {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "limits",
        "storage": "file",
        "discard": "new" if spec.is_bucket or spec.keeps_old else "old",
        "num_replicas": replicas,
        "max_age": int(spec.max_age.total_seconds()) * _NANOSECONDS,
        "max_bytes": spec.max_bytes,
        "max_msg_size": spec.max_message,
        "max_msgs_per_subject": spec.max_per_subject,
        "max_consumers": 8,
        "duplicate_window": int(DUPLICATE_WINDOW.total_seconds()) * _NANOSECONDS,
        "allow_direct": True,
        "allow_rollup_hdrs": False,
        "deny_delete": not spec.deletable,
        "deny_purge": True,
    }


def _consumer_request(spec: DurableSpec) -> dict[str, Any]:
    return {
        "stream_name": spec.stream,
        "config": {
            "name": spec.name,
            "durable_name": spec.name,
            "filter_subject": spec.filter_subject,
            "ack_policy": "explicit",
            "ack_wait": int(spec.ack_wait.total_seconds()) * _NANOSECONDS,
            "max_ack_pending": spec.max_ack_pending,
            "max_deliver": -1,
            "deliver_policy": "all",
            "replay_policy": "instant",
        },
    }


def _error_code(answer: dict[str, Any]) -> int:
    return int((answer.get("error") or {}).get("err_code", 0))


def _require_success(answer: dict[str, Any], what: str) -> None:
    if error := answer.get("error"):
        raise BusError(f"JetStream cannot declare {what}: {error.get('description', 'no reason')}")
