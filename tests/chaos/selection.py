"""Which of many chaos cases run: a few from a seed, or every one for a soak.

``CHAOS_SEED`` is another draw; ``CHAOS_ALL=1`` runs everything there is.
"""

import os
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

SEED: Final = int(os.environ.get("CHAOS_SEED", "20261"))
ALL: Final = os.environ.get("CHAOS_ALL", "") not in {"", "0"}
# All of them take more than an hour: a run of the suite takes a few, a soak every one.
NOT_DRAWN: Final = pytest.mark.skip(reason="NOT RUN: not drawn; CHAOS_ALL=1 runs every case")
"""For what the seed left out, which must not look as if it had run."""


def selected(cases: Sequence[T], count: int, *, every: bool = ALL, seed: int = SEED) -> list[T]:
    """Return ``count`` cases in their order, the same ones for the same seed.

    Args:
        cases: everything there is.
        count: how many; all of them if there are fewer.
        every: whether to return all of them instead.
        seed: another one draws others.
    """
    if every or count >= len(cases):
        return list(cases)
    drawn = Random(seed).sample(range(len(cases)), count)  # noqa: S311 (repeats, no secret)
    return [cases[place] for place in sorted(drawn)]
