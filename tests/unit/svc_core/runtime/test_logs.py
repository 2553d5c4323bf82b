import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from svc_core.config import LogSettings
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError
from svc_core.runtime.logs import configure_logging, get_logger, redact


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave pytest's own handlers and structlog's defaults as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def log_to(file: Path, level: str = "info") -> None:
    configure_logging(LogSettings(file=file, level=level), service="watcher", instance="watcher-1")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_event_says_when_how_grave_what_and_who(tmp_path: Path) -> None:
    log_to(tmp_path / "log.jsonl")

    get_logger().info("nats.reloaded", server="n1", elapsed_ms=12.5)

    (event,) = lines(tmp_path / "log.jsonl")
    assert list(event)[:5] == ["ts", "level", "event", "service", "instance"]
    assert event.pop("ts").endswith("Z")
    assert event == {
        "level": "info",
        "event": "nats.reloaded",
        "service": "watcher",
        "instance": "watcher-1",
        "server": "n1",
        "elapsed_ms": 12.5,
    }


def test_events_are_appended_and_on_disk_at_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "log.jsonl"
    log_to(file)
    get_logger().info("first.seen")
    log_to(file)

    get_logger().info("second.seen")

    assert [event["event"] for event in lines(file)] == ["first.seen", "second.seen"]


def test_events_below_the_level_are_dropped(tmp_path: Path) -> None:
    log_to(tmp_path / "log.jsonl", level="warning")

    get_logger().info("bundle.adopted")
    get_logger().warning("bundle.refused")

    assert [event["event"] for event in lines(tmp_path / "log.jsonl")] == ["bundle.refused"]


def test_other_libraries_go_the_same_way_from_warning_up(tmp_path: Path) -> None:
    log_to(tmp_path / "log.jsonl")

    logging.getLogger("nats.aio.client").info("chatter")
    logging.getLogger("nats.aio.client").error("nats: %s", "slow consumer")

    (event,) = lines(tmp_path / "log.jsonl")
    assert event["event"] == "nats: slow consumer"
    assert event["logger"] == "nats.aio.client"
    assert (event["level"], event["service"]) == ("error", "watcher")


def test_a_traceback_is_data_without_local_variables(tmp_path: Path) -> None:
    log_to(tmp_path / "log.jsonl")

    def fail() -> None:
        hidden = "correct horse"  # noqa: F841 (what must not be logged)
        raise ValueError("boom")

    try:
        fail()
    except ValueError:
        get_logger().exception("loop.failed")

    (event,) = lines(tmp_path / "log.jsonl")
    assert event["exception"][0]["exc_value"] == "boom"
    assert "correct horse" not in json.dumps(event)


def test_without_a_file_or_terminal_json_goes_to_standard_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    configure_logging(LogSettings(), service="watcher", instance="w")
    get_logger().info("ca.rotated")

    assert json.loads(output.getvalue())["event"] == "ca.rotated"


def test_a_person_at_a_terminal_reads_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    configure_logging(LogSettings(), service="watcher", instance="w")
    get_logger().info("ca.rotated", epoch=7)

    assert "ca.rotated" in terminal.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(terminal.getvalue())


def test_a_log_file_that_cannot_be_opened_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match=r"log\.file: cannot open"):
        log_to(tmp_path / "file" / "log.jsonl")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        pytest.param("key", "abc", "<redacted>", id="a key by name"),
        pytest.param("secret_id", "abc", "<redacted>", id="a secret-id is a secret"),
        pytest.param("vault_token", "abc", "<redacted>", id="a token by name"),
        pytest.param("topic_keys", ["a", "b"], "<redacted>", id="a list of keys"),
        pytest.param("key_id", "t-epoch-7", "t-epoch-7", id="a key's id is public"),
        pytest.param("key_epoch", 7, 7, id="numbers about keys are public"),
        pytest.param("key_file", "/tls/key.pem", "/tls/key.pem", id="where a key is, is public"),
        pytest.param("value", SecretBytes(b"abcd"), "<4 bytes>", id="secret bytes by type"),
        pytest.param("payload", b"abcd", "<4 bytes>", id="any bytes by type"),
        pytest.param("data", {"token": "x", "n": 1}, {"token": "<redacted>", "n": 1}, id="nested"),
        pytest.param("items", [SecretBytes(b"a"), "b"], ["<1 bytes>", "b"], id="in a list"),
    ],
)
def test_redaction(name: str, value: object, shown: object) -> None:
    assert redact(None, "info", {name: value}) == {name: shown}
