"""One failure at one chosen effect, counted over every fake that shares it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from svc_core.errors import SecretStoreError


@dataclass
class Mishaps:
    """Fails the effect number ``at`` (from 1; 0: none), before or after it has happened."""

    at: int = 0
    is_after: bool = False
    """Whether the effect happens although its caller is told otherwise: a lost answer."""
    error: type[Exception] = SecretStoreError
    """What is raised."""
    count: int = 0
    """Effects so far."""

    @contextmanager
    def effect(self) -> Iterator[None]:
        """Surround one effect."""
        self.count += 1
        strikes = self.count == self.at
        if strikes and not self.is_after:
            raise self.error(f"effect {self.at} did not happen")
        yield
        if strikes:
            raise self.error(f"the answer to effect {self.at} was lost")
