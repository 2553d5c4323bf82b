"""What must hold of roots after any crash: the states each went through, and what OpenBao has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from devstack.openbao_api import OpenBaoApi
from services.metadata.domain.roots import MOVES, RootState
from svc_core.errors import NotFoundError, RequestRefusedError, SecretStoreError
from tests.chaos.verdicts import journal

_ARRIVES_AT: Final = {
    "root.adopted": RootState.SIGNING,
    "root.planned": RootState.PLANNED,
    "root.staged": RootState.STAGED,
    "root.activated": RootState.SIGNING,
    "root.retired": RootState.RETIRED,
}
"""Where a step leaves the root that it is about."""
_BEGINS_AS: Final = {"root.adopted": RootState.SIGNING, "root.planned": RootState.PLANNED}


@dataclass(slots=True)
class RootHistory:
    """The steps that took effect, and the moves that the table of states does not have."""

    activated: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    illegal: list[str] = field(default_factory=list)
    _states: dict[str, RootState] = field(default_factory=dict)

    def follow(self, entry: Mapping[str, Any]) -> None:
        """Take one step, as the audit log has it."""
        name, kind, number = entry["subject"], entry["kind"], entry["number"]
        if kind == "root.removed":
            self.removed.append(name)
            if self._states.pop(name, None) is not RootState.RETIRED:
                self.illegal.append(f"entry {number}: {name} removed too early")
        elif (to := _ARRIVES_AT.get(kind)) is not None:
            if kind == "root.activated":
                self.activated.append(name)
                if former := entry["facts"].get("former"):
                    self._move(former, RootState.LEAVING, kind, number)
            self._move(name, to, kind, number)

    def _move(self, name: str, to: RootState, kind: str, number: int) -> None:
        before = self._states.get(name)
        is_legal = to is _BEGINS_AS.get(kind) if before is None else to in MOVES[before]
        if not is_legal:
            self.illegal.append(f"entry {number}: {name} from {before} to {to}")
        self._states[name] = to


def root_history_of(entries: Iterable[Mapping[str, Any]]) -> RootHistory:
    """Follow every root through the steps that took effect, from the log's first entry on."""
    found = RootHistory()
    for entry in entries:
        if entry["took_effect"]:
            found.follow(entry)
    return found


async def known_roots(api: OpenBaoApi) -> dict[str, str]:
    """Return the state of every root in the journal."""
    known = (await journal(api))["roots"]["known"]
    return {root["name"]: root["state"] for root in known}


async def made_roots(api: OpenBaoApi) -> list[str]:
    """Return the names of the roots that OpenBao has, as it lists them for anybody."""
    answer = await api.call("LIST", "pki/issuers")
    return sorted(facts["issuer_name"] for facts in answer["data"]["key_info"].values())


async def root_keys(api: OpenBaoApi) -> set[str]:
    """Return the ids of the keys of every root in the journal."""
    return {root["key"] for root in (await journal(api))["roots"]["known"] if root["key"]}


async def left_keys(api: OpenBaoApi, names: Iterable[str]) -> list[str]:
    """Return those ids or names of keys of roots under which OpenBao still has one."""
    return [name for name in names if await _has_key(api, name)]


async def _has_key(api: OpenBaoApi, name: str) -> bool:
    try:
        await api.read(f"pki/key/{name}")
    except (NotFoundError, RequestRefusedError, SecretStoreError) as err:
        if isinstance(err, NotFoundError) or "unable to find" in str(err):
            return False
        raise
    return True
