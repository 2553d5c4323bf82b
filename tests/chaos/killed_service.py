"""Runs a real service that kills itself at the points it was ordered to (see `trap`).

``python -m tests.chaos.killed_service <service> --config <file>``: everything is the product's own,
except that what passes its adapters is looked at on the way.
"""

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import hvac
from hvac.api.auth_methods import AppRole

from services.watcher.adapters.canary import LiveServerCheck
from services.watcher.adapters.system_account import NatsSystemAccount
from svc_core.adapters.journal import FileJournal
from svc_core.adapters.nats_canary import NatsCanary
from svc_core.adapters.nats_connection import NatsConnection
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.domain.identity import Subject
from svc_core.domain.journal_records import JournalRecord
from svc_core.flows.secure_channel import SecureChannel
from svc_core.ports.bus import Responder
from svc_core.wire.audit_chain import read_link
from tests.chaos.crash_points import When
from tests.chaos.trap import Trap

AUDIT: Final = "secret/data/transport/audit/"
JOURNAL: Final = "secret/data/transport/journal"

Describe = Callable[..., str]


def run_service(service: str) -> tuple[str, ...]:
    """Return what Python is given to run ``service`` like this, as `StackOptions.run`."""
    return ("-m", "tests.chaos.killed_service", service)


class Looking:
    """Looks at what passes the adapters of this process and tells the trap."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap
        self._step = ""
        """Kind of the last step of the journal that was written down and not yet taken."""
        self._mount = ""
        """Where the last request for an intermediate was made."""

    def install(self) -> None:
        """Look at everything from now on."""
        for verb, method in (
            ("write", "write_data"),
            ("read", "read"),
            ("list", "list"),
            ("delete", "delete"),
        ):
            self._look_at(hvac.Client, method, functools.partial(self._request, verb))
        self._look_at(AppRole, "login", _named("login"))
        for verb in ("publish", "request", "send"):
            self._look_at(NatsConnection, verb, functools.partial(_on_subject, verb))
        self._look_at(NatsConnection, "swap", _named("swap"))
        self._look_at(NatsSystemAccount, "reload", _named("reload"))
        self._look_at(LiveServerCheck, "prove", _named("prove"))
        self._look_at(NatsCanary, "prove", _named("prove"))
        self._look_at(TlsIdentity, "adopt", _named("adopt leaf"))
        self._look_at(SecureChannel, "adopt", _named("adopt bundle"))
        self._look_at(FileJournal, "append", _appended)
        self._look_at(Path, "replace", _renamed)
        self._look_at_answers()

    def _look_at(self, owner: type, name: str, describe: Describe) -> None:
        inner = getattr(owner, name)
        if inspect.iscoroutinefunction(inner):

            @functools.wraps(inner)
            async def watched_later(*args: Any, **kwargs: Any) -> Any:
                event = describe(*args, **kwargs)
                self._trap.consider(event, When.BEFORE)
                result = await inner(*args, **kwargs)
                self._trap.consider(event, When.AFTER)
                return result

            setattr(owner, name, watched_later)
            return

        @functools.wraps(inner)
        def watched(*args: Any, **kwargs: Any) -> Any:
            event = describe(*args, **kwargs)
            self._trap.consider(event, When.BEFORE)
            result = inner(*args, **kwargs)
            self._trap.consider(event, When.AFTER)
            return result

        setattr(owner, name, watched)

    def _look_at_answers(self) -> None:
        respond, consider = NatsConnection.respond, self._trap.consider

        async def watched(
            connection: NatsConnection, topic: Subject, queue: str, responder: Responder
        ) -> None:
            async def answering(request: bytes) -> bytes | None:
                consider(f"answer {topic}", When.BEFORE)
                answer = await responder(request)
                consider(f"answer {topic}", When.AFTER)
                return answer

            await respond(connection, topic, queue, answering)

        setattr(NatsConnection, "respond", watched)  # noqa: B010 (mypy lets no method be assigned)

    def _request(self, verb: str, _client: hvac.Client, path: str, *_: Any, **body: Any) -> str:
        event = f"{verb} {path}"
        if verb != "write":
            return event
        if "/generate/" in path:
            self._mount = path.partition("/")[0]
        if path.endswith("/sign-intermediate"):
            return f"{event} {self._mount}"
        if path.startswith(AUDIT):
            entry = read_link(body["data"]["data"]).entry
            if entry.follows is not None:
                self._step = entry.kind
            return f"{event} {entry.kind}"
        if path == JOURNAL and self._step:
            step, self._step = self._step, ""
            return f"{event} {step}"
        return event


def _named(event: str) -> Describe:
    def describe(*_: Any, **__: Any) -> str:
        return event

    return describe


def _on_subject(verb: str, _connection: NatsConnection, subject: str, *_: Any, **__: Any) -> str:
    return f"{verb} {subject}"


def _appended(_journal: FileJournal, record: JournalRecord) -> str:
    return f"append {record.kind}"


def _renamed(_path: Path, target: Path) -> str:
    return f"rename {target}"


def signal_self(number: int) -> None:
    """Send this process a signal."""
    os.kill(os.getpid(), number)


def main() -> int:
    """Run the service that the first argument names and return its exit code."""
    service = sys.argv.pop(1)
    trap = Trap(Path(sys.argv[sys.argv.index("--config") + 1]).parent, signal_self)
    trap.consider("start", When.BEFORE)
    Looking(trap).install()
    module = importlib.import_module(f"services.{service}.main")
    code: int = module.main()
    return code


if __name__ == "__main__":
    sys.exit(main())
