"""Turns for everybody else while work that never waits goes on."""

import asyncio
from time import monotonic
from typing import Final

_TURN_S: Final = 0.002


class Breather:
    """Lets the event loop turn once work has held it for about 2 ms; one per source of work.

    A backlog of messages whose handling awaits nothing would otherwise run to its end in one turn.
    """

    def __init__(self) -> None:
        self._until_s = 0.0
        self._next_begins = False

    @property
    def is_due(self) -> bool:
        """Whether the turn has lasted long enough."""
        return monotonic() >= self._until_s

    async def breathe(self) -> None:
        """Yield to the event loop until there is time left in a turn.

        Of many that wait, those go on that fit into one turn; the others wait for the next.
        """
        while self.is_due:
            if not self._next_begins:
                self._next_begins = True
                asyncio.get_running_loop().call_soon(self._begin)
            await asyncio.sleep(0)

    def _begin(self) -> None:
        self._next_begins = False
        self._until_s = monotonic() + _TURN_S
