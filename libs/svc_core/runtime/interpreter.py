"""Settings of the Python interpreter that every process with an event loop and threads needs."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SWITCH_INTERVAL_S: Final = 0.0001


def tune_interpreter() -> None:
    """Let threads take turns every 0.1 ms instead of every 5 ms, and collect no modules.

    A thread that only needs the interpreter between two verifications of 0.15 ms would wait longer
    for the event loop to give it up than it works; and the event loop as long for a thread.

    What exists now, some 85,000 objects of imported modules, lives as long as the process. Left to
    the collector, looking through them stops everything for 30 ms now and then, most likely when
    much is made at once, as in a swap of connections.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.freeze()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Look for garbage only afterwards: for work that makes many objects and leaves few.

    Looking through them all, again and again while there become more, would take as long as the
    work itself and stop every other thread for ten milliseconds at a time. Any thread may do this;
    of several at once the first to end has the collector go on.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
