"""`LoadFile`: reads the load order from a JSON file whenever that may have changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from svc_core.adapters.directory_watch import looks_due
from svc_core.domain.load_order import LoadOrder, decode
from svc_core.errors import MalformedMessageError

log = structlog.get_logger()

Replace = Callable[[LoadOrder | None], bool]
"""Take over an order and return whether it is another one than before."""


class LoadFile:
    """The loop that follows the file; a file that makes no sense changes nothing."""

    name: Final = "load_orders"

    def __init__(self, path: Path, replace: Replace, *, without: LoadOrder | None) -> None:
        """Follow ``path``.

        Args:
            path: the file; it may come and go.
            replace: told of every order read.
            without: the order while there is no file.
        """
        self._path = path
        self._replace = replace
        self._without = without
        self._refused = ""

    async def run(self) -> None:
        """Follow the file for ever.

        Raises:
            ConfigError: its directory cannot be watched.
        """
        async for _ in looks_due(self._path.parent):
            self._read()

    def _read(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            self._take(self._without)
            return
        except (OSError, UnicodeDecodeError) as err:
            self._refuse(str(err))
            return
        try:
            self._take(decode(text))
        except MalformedMessageError as err:
            self._refuse(str(err))

    def _take(self, order: LoadOrder | None) -> None:
        self._refused = ""
        if self._replace(order):
            log.info("load.ordered", rate=order.rate if order else 0)

    def _refuse(self, reason: str) -> None:
        if reason != self._refused:
            log.warning("load.order_refused", reason=reason)
        self._refused = reason
