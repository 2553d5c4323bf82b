"""A stack with short periods, whose services can sleep and whose clocks can be set."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from devstack.stack import StackOptions, open_stack
from svc_core.domain.profiles import RotationProfile
from tests.chaos.short_profiles import BRIEF, short_profiles
from tests.chaos.timed_service import run_service
from tests.e2e.loaded_stack import LoadedStack
from tests.integration.background import in_background

RATE: Final = 20.0
"""Requests per second: enough to see the first that goes through again."""


@contextmanager
def open_short_stack(root: Path, profile: RotationProfile = BRIEF) -> Iterator[LoadedStack]:
    """Boot a stack in ``root``, or what was ended there, put it under load and end it."""
    said: list[str] = []
    options = StackOptions(
        root,
        profile.name,
        run=run_service,
        longest_pause=timedelta(seconds=0.5),
    )
    with short_profiles(), in_background(lambda: open_stack(options, said.append)) as stack:
        loaded = LoadedStack(stack)
        loaded.order_load("standing", rate=RATE)
        yield loaded
