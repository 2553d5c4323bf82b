"""A flag that one loop waits for and others raise; raising it twice wakes once."""

import asyncio


class Wakeup:
    """Wakes one waiter early; the time-out keeps a lost wake-up from mattering."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiter now, or let its next wait return at once."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until `set` or ``timeout_s`` has passed; return whether it was set."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
