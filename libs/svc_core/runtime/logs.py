"""Structured logs: JSON lines for machines, coloured text for a person at a terminal.

Every event has ``ts``, ``level``, ``event``, ``service`` and ``instance``; libraries that use the
standard `logging` go through the same renderers. Redaction here is a net below the types, not a
permission to log secrets.
"""

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final

import msgspec
import stamina.instrumentation
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from svc_core.config import LogSettings
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError

get_logger = structlog.get_logger

_LOGGER_NAME: Final = "securetransport"
_FIRST_FIELDS: Final = ("ts", "level", "event", "service", "instance")
_ALWAYS_SECRET: Final = ("secret", "token", "password", "seed")
_PUBLIC_ABOUT_KEYS: Final = ("_id", "_ids", "_epoch", "_epochs", "_file", "_name", "_rotations")
_MASK: Final = "<redacted>"


def configure_logging(settings: LogSettings, *, service: str, instance: str) -> None:
    """Send every event of this process where ``settings`` say; call once, at start.

    Raises:
        ConfigError: the log file cannot be opened.
    """
    root = logging.getLogger()
    for stale in root.handlers[:]:
        root.removeHandler(stale)
        stale.close()
    for handler in _handlers(settings, {"service": service, "instance": instance}):
        root.addHandler(handler)
    root.setLevel(logging.WARNING)  # other libraries: only what someone may have to act on
    logging.captureWarnings(True)
    # What is retried is logged by who gives up; the retries themselves are no news.
    stamina.instrumentation.set_on_retry_hooks([])
    logging.getLogger("asyncio").addFilter(_is_news)
    logging.getLogger(_LOGGER_NAME).setLevel(logging.DEBUG)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            _timestamp,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=_shared_logger,
        cache_logger_on_first_use=True,
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what must not be read: secret values by type, and fields by name."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: object) -> object:
    if isinstance(value, SecretBytes | bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if value is None or isinstance(value, bool | int | float):
        return value
    if _names_a_secret(name):
        return _MASK
    if isinstance(value, Mapping):
        return {str(inner): _redacted(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(name, item) for item in value]
    return value


def _names_a_secret(name: str) -> bool:
    lowered = name.lower()
    if any(word in lowered for word in _ALWAYS_SECRET):
        return True
    return "key" in lowered and not lowered.endswith(_PUBLIC_ABOUT_KEYS)


def _is_news(record: logging.LogRecord) -> bool:
    # asyncio says this at the end of every TLS connection that the other side closes.
    return not str(record.msg).startswith("returning true from eof_received()")


def _shared_logger(*_names: Any) -> logging.Logger:
    return logging.getLogger(_LOGGER_NAME)


_timestamp: Final = structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts")


def _handlers(settings: LogSettings, about: Mapping[str, str]) -> Iterable[logging.Handler]:
    if settings.file is not None:
        try:
            settings.file.parent.mkdir(parents=True, exist_ok=True)
            yield _formatted(logging.FileHandler(settings.file, encoding="utf-8"), _json(), about)
        except OSError as err:
            raise ConfigError(f"log.file: cannot open {settings.file}: {err.strerror}") from err
    if sys.stderr.isatty():
        yield _formatted(logging.StreamHandler(sys.stderr), _text(), about)
    elif settings.file is None:
        yield _formatted(logging.StreamHandler(sys.stdout), _json(), about)


def _formatted(
    handler: logging.Handler, renderers: list[Processor], about: Mapping[str, str]
) -> logging.Handler:
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                _timestamp,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _Identify(about),
                redact,
                *renderers,
            ],
        )
    )
    return handler


class _Identify:
    """Puts the fields every event has first, in one order."""

    def __init__(self, about: Mapping[str, str]) -> None:
        self._about = about

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        known: MutableMapping[str, Any] = {**self._about, **event}
        first = {name: known[name] for name in _FIRST_FIELDS if name in known}
        return {**first, **{name: item for name, item in known.items() if name not in first}}


def _json() -> list[Processor]:
    # Tracebacks without local variables: a local may be a key.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.processors.ExceptionRenderer(tracebacks),
        structlog.processors.JSONRenderer(serializer=_encode),
    ]


def _encode(event: Mapping[str, object], **_options: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _text() -> list[Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            timestamp_key="ts", exception_formatter=structlog.dev.plain_traceback
        )
    ]
