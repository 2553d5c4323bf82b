"""Carrying out the operator's commands: verified, each once, and written down before and after.

Only the holder of the lease takes them, since most of what is ordered only the holder may do. What
is begun is written first; so after a crash it is found again and taken up, by whoever holds the
lease then. Every kind of command can be begun again without harm. The store is asked, so commands
work while NATS does not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from svc_core.crypto import contexts
from svc_core.domain.operator_command import (
    COMMANDS_PATH,
    OPERATOR_SIGNER,
    RESULTS_PATH,
    CommandResult,
    CommandState,
    CommandUnknownError,
    CommandUnsignedError,
    OperatorCommand,
    check_command,
)
from svc_core.errors import IdentityError, RejectedError, StaleWriteError
from svc_core.flows.statements import Statements
from svc_core.ports.secret_store import SecretStore
from svc_core.runtime.surroundings import Surroundings
from svc_core.wire import documents, operator_command

log = structlog.get_logger()

_LOOK_AGAIN_S: Final = 0.5

Outcome = Mapping[str, Any]
Progress = Callable[[Outcome], Awaitable[None]]
"""Write down what has happened so far, for the operator who waits."""
CarryOut = Callable[[OperatorCommand, Progress], Awaitable[Outcome]]
"""Do what the command asks and return what happened; beginning again must do no harm."""
IsHolder = Callable[[], bool]
"""Says whether this process holds the lease now."""


class CommandFollower:
    """The loop that looks for commands and carries them out in the order they were given."""

    name: Final = "operator_commands"

    def __init__(
        self,
        store: SecretStore,
        operator: Statements,
        kinds: Mapping[str, CarryOut],
        instance: str,
        is_holder: IsHolder,
        around: Surroundings,
    ) -> None:
        """Prepare the loop.

        Args:
            store: where commands and results are.
            operator: verifies the signer `OPERATOR_SIGNER` and nobody else.
            kinds: how each kind is carried out.
            instance: of the authority, as results name it.
            is_holder: whether to take commands now.
            around: clock and profile.
        """
        self._store = store
        self._operator = operator
        self._kinds = kinds
        self._instance = instance
        self._is_holder = is_holder
        self._around = around
        self._settled: set[str] = set()
        self._versions: dict[str, int] = {}

    async def run(self) -> None:
        """Look twice a second while this process holds the lease; for ever."""
        while True:
            if self._is_holder():
                await self._look()
            self._around.health.beat(self.name)
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _look(self) -> None:
        names = await self._store.fetch_names(COMMANDS_PATH)
        self._settled.intersection_update(names)
        for name in sorted(names):
            # Asked before each: the lease may be lost while one is carried out.
            if name not in self._settled and not name.endswith("/") and self._is_holder():
                await self._consider(name)

    async def _consider(self, name: str) -> None:
        stored = await self._store.fetch(f"{RESULTS_PATH}/{name}")
        self._versions[name] = 0 if stored is None else stored.version
        try:
            earlier = None if stored is None else operator_command.decode_result(stored.data)
            if earlier is not None and earlier.state is not CommandState.BEGUN:
                self._settle(name)
                return
            command = await self._verified(name)
            if earlier is None:
                now, skew = self._around.clock.now(), self._around.profile.skew
                check_command(command, name=name, now=now, skew=skew)
            if command.kind not in self._kinds:
                raise CommandUnknownError(f"no command is called {command.kind}")
            await self._carry_out(command, earlier)
        except RejectedError as err:
            log.warning("command.refused", command=name, code=err.code, reason=str(err))
            refusal = self._result(name, CommandState.REFUSED)
            await self._write(replace(refusal, code=err.code, reason=str(err)))
            self._settle(name)
        except StaleWriteError:
            # Another replica has the lease by now, and takes it up.
            log.debug("command.taken", command=name)

    async def _carry_out(self, command: OperatorCommand, earlier: CommandResult | None) -> None:
        begun = self._result(command.id, CommandState.BEGUN)
        if earlier is not None:
            begun = replace(begun, outcome=earlier.outcome)
        await self._write(begun)
        log.info("command.begun", command=command.id, kind=command.kind, again=earlier is not None)

        async def progress(outcome: Outcome) -> None:
            await self._write(
                replace(self._result(command.id, CommandState.BEGUN), outcome=outcome)
            )

        outcome = await self._kinds[command.kind](command, progress)
        await self._write(replace(self._result(command.id, CommandState.DONE), outcome=outcome))
        self._settle(command.id)
        log.info("command.completed", command=command.id, kind=command.kind)

    async def _verified(self, name: str) -> OperatorCommand:
        entry = await self._store.fetch(f"{COMMANDS_PATH}/{name}")
        if entry is None:
            raise CommandUnknownError(f"there is no command {name}")
        try:
            document = documents.decode_entry(entry.data)
            if document.signer != OPERATOR_SIGNER:
                raise IdentityError(f"{document.signer} is not the operator")
            body = await self._operator.verified(document, context=contexts.OPERATOR_COMMAND)
        except RejectedError as err:
            raise CommandUnsignedError(f"command {name} is not the operator's") from err
        return operator_command.decode(body)

    def _result(self, name: str, state: CommandState) -> CommandResult:
        return CommandResult(name, state, self._instance, self._around.clock.now())

    async def _write(self, result: CommandResult) -> None:
        self._versions[result.id] = await self._store.store(
            f"{RESULTS_PATH}/{result.id}",
            operator_command.encode_result(result),
            expected_version=self._versions[result.id],
        )

    def _settle(self, name: str) -> None:
        self._settled.add(name)
        self._versions.pop(name, None)
