"""How much each benchmark measures: by default, and briefly, to see that all of them work."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Amounts:
    """How long and how often; what the options of the commands say otherwise."""

    crypto_s: float = 0.2
    """Each call in a repeat, seconds."""
    messages_s: float = 1.0
    """Each rate and each load in a repeat, seconds."""
    transport_s: float = 2.0
    """Each case and each load in a repeat, seconds."""
    repeats: int = 5
    """Of these three."""
    exchanges: float = 300.0
    """Exchanges per second of the timetable."""
    swaps: int = 50
    swap_rate: float = 2000.0
    """Messages per second."""
    window_s: float = 3.0
    """So there is a swap every six seconds, three times as often as at the shortest period."""
    only_swap: bool = False
    """Without the client library's own ways of moving."""
    epochs: int = 3
    """Key epochs of the authority."""
    topics: int = 10_000
    """Of the authority's manifest at scale; 0: without it."""
    services: int = 200
    consumers: int = 2
    """Of each of its topics."""


FULL: Final = Amounts()
BRIEF: Final = Amounts(
    crypto_s=0.02,
    messages_s=0.1,
    transport_s=0.25,
    repeats=1,
    swaps=3,
    swap_rate=500.0,
    window_s=0.5,
    only_swap=True,
    epochs=1,
    topics=0,
)
