"""The load that is wanted now, said in one place and watched by the generator."""

from svc_core.domain.load_order import LoadOrder
from svc_core.runtime.wakeup import Wakeup


class LoadOrders:
    """Holds the newest order; replaced as a whole."""

    def __init__(self, order: LoadOrder | None = None) -> None:
        self._current = order
        self.changed = Wakeup()

    @property
    def current(self) -> LoadOrder | None:
        """The order to carry out, None for no load."""
        return self._current

    def replace(self, order: LoadOrder | None) -> bool:
        """Set what is wanted from now on and return whether that is something else."""
        if order == self._current:
            return False
        self._current = order
        self.changed.set()
        return True
