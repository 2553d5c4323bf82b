"""Removing the operator's commands and what became of them, two hours after they ended.

A command lives for an hour at most, so by then it has expired whatever it says of itself: were a
copy of it left under the same name, it would be refused. The audit log keeps that it was given.
"""

import asyncio
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import structlog

from services.metadata.flows.commands import IsHolder
from svc_core.domain.operator_command import (
    COMMANDS_PATH,
    LONGEST_LIFE,
    RESULTS_PATH,
    CommandState,
)
from svc_core.errors import MalformedMessageError
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import operator_command

log = structlog.get_logger()

KEPT: Final = LONGEST_LIFE + timedelta(hours=1)
"""How long a command and its result stay after the result was final."""
PERIOD: Final = timedelta(minutes=1)
MOST_PER_ROUND: Final = 50
"""Commands that are looked at in one round; each costs a read, or a read and two removals."""


class CommandPruner:
    """The loop that removes what nobody will ask for any more."""

    name: Final = "command_pruning"

    def __init__(self, store: SecretStore, is_holder: IsHolder, around: Surroundings) -> None:
        self._store = store
        self._is_holder = is_holder
        self._around = around
        self._not_before: dict[str, datetime] = {}
        """When to look at a command again; what is not here was not looked at yet."""

    async def run(self) -> None:
        """Look once a minute while this process holds the lease; for ever."""
        while True:
            if self._is_holder():
                await self.prune()
            self._around.health.beat(self.name)
            await asyncio.sleep(PERIOD.total_seconds())

    async def prune(self) -> int:
        """Remove what has been final for two hours, the oldest first; return how much.

        Raises:
            SecretStoreError: OpenBao does not answer; the next round goes on.
        """
        commands = await self._names(COMMANDS_PATH)
        names = commands | await self._names(RESULTS_PATH)
        self._not_before = {n: at for n, at in self._not_before.items() if n in names}
        now, removed = self._around.clock.now(), 0
        # Their names sort by the time at which they were given.
        due = (n for n in sorted(names) if n not in self._not_before or self._not_before[n] <= now)
        for name in list(islice(due, MOST_PER_ROUND)):
            again_at = await self._ends_at(name, is_given=name in commands)
            if again_at > now:
                self._not_before[name] = again_at
                continue
            # In this order: a result without its command is found again, and begins nothing.
            await self._store.remove(f"{COMMANDS_PATH}/{name}")
            await self._store.remove(f"{RESULTS_PATH}/{name}")
            removed += 1
        if removed:
            log.info("commands.pruned", count=removed, left=len(names) - removed)
        return removed

    async def _names(self, folder: str) -> set[str]:
        return {n for n in await self._store.fetch_names(folder) if not n.endswith("/")}

    async def _ends_at(self, name: str, *, is_given: bool) -> datetime:
        """Return when the command may be removed, or when to look at it again."""
        now = self._around.clock.now()
        found = await self._store.fetch(f"{RESULTS_PATH}/{name}")
        if found is None:
            return now + PERIOD
        try:
            result = operator_command.decode_result(found.data)
        except MalformedMessageError:
            # Of a command that is there, a refusal will be written over it.
            return now + PERIOD if is_given else now
        if result.state is CommandState.BEGUN and is_given:
            return now + PERIOD
        return result.updated_at + KEPT
