"""What things are and what to do next: pure data and pure functions.

Nothing here does I/O, reads a clock, draws randomness or knows asyncio; ``now`` and entropy are
arguments. An import contract enforces it.
"""
