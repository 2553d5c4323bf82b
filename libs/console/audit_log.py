"""Reading the audit log as the operator may, and what is printed of it."""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from console.operator_session import open_operator_session
from devstack.layout import Layout
from devstack.openbao_api import CONNECTIONS, OpenBaoApi
from svc_core.adapters.pinned import read_audit_identities, read_pinned_identities
from svc_core.config import TrustSettings
from svc_core.crypto import contexts
from svc_core.domain.audit import AUDIT_PATH, NO_ENTRY, AuditEntry, AuditHead
from svc_core.domain.desired import DesiredState
from svc_core.domain.subjects import DESIRED_PATH, JOURNAL_PATH
from svc_core.errors import NotFoundError, SvcError, UntrustedAnswerError
from svc_core.flows.statements import Statements
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from svc_core.wire.audit_chain import CheckSignature, Fault, FaultKind, first_fault, links
from svc_core.wire.fields import write_instant

Stored = dict[int, Mapping[str, object]]

_FAULTY: Final = 1
_SHOWN_FACT: Final = 60
_KV: Final = "secret"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found."""

    entries: int
    first: int
    last: int
    checkpoints: int
    head: AuditHead
    version: int
    """Of the desired state that names the head; 0 when there is none."""
    fault: Fault | None

    def as_document(self) -> dict[str, object]:
        """Return it for ``--json``."""
        fault = self.fault
        return {
            "whole": fault is None,
            "entries": self.entries,
            "first": self.first,
            "last": self.last,
            "checkpoints": self.checkpoints,
            "head": {"number": self.head.number, "digest": self.head.digest.hex()},
            "desired_version": self.version,
            "first_bad": None
            if fault is None
            else {"number": fault.number, "kind": fault.kind.value, "reason": fault.reason},
        }


async def verify_log(root: Path, *, url: str, as_json: bool) -> int:
    """Verify the log of the stack in ``root`` and return the exit code.

    Raises:
        NoStackError: there is no stack, and no ``url``.
        ConfigError: the pinned identities cannot be read.
        UntrustedAnswerError: the desired state is not the authority's.
        SvcError: OpenBao does not answer, or refuses the operator.
    """
    layout = Layout.at(root)
    trust = _trust(layout)
    statements = Statements(read_pinned_identities(trust))
    # What a former identity signed while it was listed is as good as ever: nobody can add to the
    # past, whose end the desired state names.
    check = _checking(Statements(read_audit_identities(trust)))
    async with open_operator_session(layout, url) as api:
        verdict = await _verdict(api, statements, check)
        if verdict.fault is not None and verdict.fault.kind is FaultKind.MISSING:
            # The log may just have been cut, between its listing and its reading.
            verdict = await _verdict(api, statements, check)
    if as_json:
        sys.stdout.write(json.dumps(verdict.as_document(), indent=2) + "\n")
    else:
        _print_verdict(Console(), verdict)
    return 0 if verdict.fault is None else _FAULTY


async def show_log(root: Path, *, url: str, last: int, as_json: bool) -> int:
    """Print the newest ``last`` entries; raises as `verify_log` does."""
    async with open_operator_session(Layout.at(root), url) as api:
        stored = await _entries(api, (await _numbers(api))[-last:])
        journal = await _read(api, JOURNAL_PATH)
    entries = [link.entry for link in links(stored)]
    taken = _taken(entries, journal)
    if as_json:
        rows = [_as_document(entry, taken) for entry in entries]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        Console().print(_table(entries, taken))
    return 0


async def _verdict(api: OpenBaoApi, statements: Statements, check: CheckSignature) -> Verdict:
    # In this order: what is written meanwhile is behind the head, and nothing is missed.
    desired = await _desired(api, statements)
    stored = await _entries(api, await _numbers(api))
    return _judged(stored, desired, check)


def _judged(stored: Stored, desired: DesiredState | None, check: CheckSignature) -> Verdict:
    head = NO_ENTRY if desired is None else desired.audit
    return Verdict(
        entries=len(stored),
        first=min(stored, default=0),
        last=max(stored, default=0),
        checkpoints=sum(link.entry.checkpoint is not None for link in links(stored)),
        head=head,
        version=0 if desired is None else desired.version,
        fault=first_fault(stored, head, check),
    )


def _trust(layout: Layout) -> TrustSettings:
    return TrustSettings(
        operator_key_file=layout.operator_key, metadata_identities_file=layout.metadata_identities
    )


def _checking(statements: Statements) -> CheckSignature:
    def check(signer: str, signature: bytes, message: bytes) -> None:
        statements.verifier(signer).verify(signature, message, context=contexts.AUDIT_CHECKPOINT)

    return check


async def _desired(api: OpenBaoApi, statements: Statements) -> DesiredState | None:
    entry = await _read(api, DESIRED_PATH)
    if entry is None:
        return None
    try:
        document = documents.decode_entry(entry)
        body = await statements.verified(document, context=contexts.DESIRED_STATE)
        return desired_wire.decode(body)
    except SvcError as err:
        raise UntrustedAnswerError(f"{DESIRED_PATH} is not the authority's: {err}") from err


async def _read(api: OpenBaoApi, path: str) -> Mapping[str, Any] | None:
    try:
        answer = await api.read(f"{_KV}/data/{path}")
    except NotFoundError:
        return None
    data: Mapping[str, Any] = answer["data"]["data"]
    return data


async def _numbers(api: OpenBaoApi) -> Sequence[int]:
    try:
        answer = await api.call("LIST", f"{_KV}/metadata/{AUDIT_PATH}")
    except NotFoundError:
        return ()
    return sorted(int(name) for name in answer["data"]["keys"] if name.isdecimal())


async def _entries(api: OpenBaoApi, numbers: Iterable[int]) -> Stored:
    stored: Stored = {}
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            found = await _read(api, f"{AUDIT_PATH}/{number}")
            if found is not None:
                stored[number] = found

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(work())
    except ExceptionGroup as failures:
        # They failed alike, and a person is told once.
        raise failures.exceptions[0] from None
    return stored


def _taken(entries: Iterable[AuditEntry], journal: Mapping[str, Any] | None) -> set[int]:
    """Return the numbers of the steps that took effect, as far as later ones say so."""
    taken = {entry.follows for entry in entries if entry.follows is not None}
    if journal is not None:
        taken.add(int(journal["audit"]["number"]))
    return taken


def _print_verdict(console: Console, verdict: Verdict) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    span = f"{verdict.first} to {verdict.last}" if verdict.entries else "none"
    say(f"entries: {verdict.entries} ({span}), checkpoints: {verdict.checkpoints}")
    say(
        f"head: entry {verdict.head.number}, in version {verdict.version} of the desired state"
        if verdict.head.number
        else "head: the desired state names none"
    )
    fault = verdict.fault
    if fault is None:
        say("the log is as it was written")
    else:
        say(f"first bad entry: {fault.number}, {fault.kind}: {fault.reason}")
        say("next: keep a snapshot of OpenBao, and find out who could write there since then")


def _table(entries: Iterable[AuditEntry], taken: set[int]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("number", "at (UTC)", "what", "of", "facts"):
        is_narrow = column in {"number", "at (UTC)", "what"}
        table.add_column(column, overflow="fold", no_wrap=is_narrow)
    day = ""
    for entry in entries:
        written = write_instant(entry.at)
        if written[:10] != day:
            day = written[:10]
            table.add_row("", day)
        facts = Text(", ".join(_shown(k, v) for k, v in _facts(entry, taken) if v))
        of = Text(entry.subject)
        table.add_row(str(entry.number), written[11:23], entry.kind, of, facts)
    return table


def _facts(entry: AuditEntry, taken: set[int]) -> list[tuple[str, str]]:
    not_taken = [("took effect", "no")] if _took_effect(entry, taken) is False else []
    return [*not_taken, *sorted(entry.facts.items()), ("by", entry.by)]


def _shown(name: str, value: str) -> str:
    text = value if len(value) <= _SHOWN_FACT else value[: _SHOWN_FACT - 3] + "..."
    return f"{name}: {text}"


def _took_effect(entry: AuditEntry, taken: set[int]) -> bool | None:
    return None if entry.follows is None else entry.number in taken


def _as_document(entry: AuditEntry, taken: set[int]) -> dict[str, object]:
    document: dict[str, object] = {
        "number": entry.number,
        "at": write_instant(entry.at),
        "by": entry.by,
        "kind": entry.kind,
        "subject": entry.subject,
        "facts": dict(entry.facts),
        "took_effect": _took_effect(entry, taken),
    }
    if entry.checkpoint is not None:
        document["checkpoint"] = {
            "first": entry.checkpoint.first,
            "signer": entry.checkpoint.signer,
        }
    return document
