"""What must hold after any crash, read from what the authority stored: log, states, issuers."""

import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Final

from console.audit_log import show_log, verify_log
from devstack.bootstrap import log_in
from devstack.endpoints import read_endpoints
from devstack.layout import Layout
from devstack.openbao_api import OpenBaoApi, open_openbao_api
from services.metadata.domain.issuers import MOVES, REMOVABLE, IssuerState
from svc_core.domain.identity import METADATA
from svc_core.errors import NotFoundError

_ALL: Final = 1_000_000
_MOUNTS: Final = ("nats_int", "nats_route")
_ARRIVES_AT: Final = {
    "issuer.planned": IssuerState.PLANNED,
    "issuer.staged": IssuerState.STAGED,
    "issuer.trusted": IssuerState.TRUSTED,
    "issuer.activated": IssuerState.ACTIVE,
    "issuer.went_back": IssuerState.ACTIVE,
    "issuer.drained": IssuerState.DRAINED,
    "issuer.retired": IssuerState.RETIRED,
    "issuer.withdrawn": IssuerState.WITHDRAWN,
}
"""Where a step leaves the issuer that it is about."""


@dataclass(slots=True)
class History:
    """The steps that took effect, and the moves that the table of states does not have."""

    activated: list[str] = field(default_factory=list)
    """Issuers in the order in which they became active, each for the first time."""
    returned: list[str] = field(default_factory=list)
    """Issuers that were gone back to."""
    holders: list[str] = field(default_factory=list)
    """Who took each step."""
    illegal: list[str] = field(default_factory=list)
    _states: dict[str, IssuerState] = field(default_factory=dict)

    def follow(self, entry: Mapping[str, Any]) -> None:
        """Take one step, as the audit log has it."""
        name, kind = entry["subject"], entry["kind"]
        self.holders.append(entry["by"])
        if kind == "issuer.removed":
            if self._states.pop(name, None) not in REMOVABLE:
                self.illegal.append(f"entry {entry['number']}: {name} removed too early")
        elif (to := _ARRIVES_AT.get(kind)) is not None:
            former = entry["facts"].get("former") or entry["facts"].get("failed")
            if to is IssuerState.ACTIVE:
                (self.activated if kind == "issuer.activated" else self.returned).append(name)
                if former:
                    self._move(former, IssuerState.DRAINING, entry["number"])
            self._move(name, to, entry["number"])

    def _move(self, name: str, to: IssuerState, number: int) -> None:
        before = self._states.get(name)
        is_legal = to is IssuerState.PLANNED if before is None else to in MOVES[before]
        if not is_legal:
            self.illegal.append(f"entry {number}: {name} from {before} to {to}")
        self._states[name] = to


async def read_log(layout: Layout) -> list[dict[str, Any]]:
    """Return every entry of the audit log as ``audit show --json`` prints it, oldest first."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert await show_log(layout.root, url="", last=_ALL, as_json=True) == 0
    entries: list[dict[str, Any]] = json.loads(printed.getvalue())
    return entries


async def log_fault(layout: Layout) -> dict[str, Any] | None:
    """Return the first bad entry that ``audit verify --json`` names, None when there is none."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        await verify_log(layout.root, url="", as_json=True)
    fault: dict[str, Any] | None = json.loads(printed.getvalue())["first_bad"]
    return fault


def history_of(entries: Iterable[Mapping[str, Any]]) -> History:
    """Follow every issuer through the steps that took effect, from the log's first entry on."""
    found = History()
    for entry in entries:
        if entry["took_effect"]:
            found.follow(entry)
    return found


@asynccontextmanager
async def as_metadata(layout: Layout) -> AsyncIterator[OpenBaoApi]:
    """Yield a session that may read what Metadata may."""
    endpoints = read_endpoints(layout)
    assert endpoints is not None
    async with open_openbao_api(endpoints.openbao.url, layout.openbao_ca) as api:
        session = await log_in(api, layout, METADATA)
        yield session
        await session.write("auth/token/revoke-self")


async def journal(api: OpenBaoApi) -> dict[str, Any]:
    """Return the journal as it is stored."""
    answer = await api.read("secret/data/transport/journal")
    document: dict[str, Any] = answer["data"]["data"]
    return document


async def surplus_issuers(api: OpenBaoApi) -> Counter[str]:
    """Return how many issuers there are, by mount and key, that the journal does not name."""
    found: Counter[str] = Counter()
    for mount in _MOUNTS:
        listed = await _issuers(api, mount)
        # Read afterwards: what is made between the two was planned before.
        known = {issuer["name"] for issuer in (await journal(api))["issuers"]}
        for issuer_id, name in listed.items():
            if name not in known:
                try:
                    facts = await api.read(f"{mount}/issuer/{issuer_id}")
                except NotFoundError:
                    continue
                found[f"{mount} {facts['data']['key_id']}"] += 1
    return found


async def _issuers(api: OpenBaoApi, mount: str) -> dict[str, str]:
    answer = await api.call("LIST", f"{mount}/issuers")
    return {i: facts["issuer_name"] for i, facts in answer["data"]["key_info"].items()}
