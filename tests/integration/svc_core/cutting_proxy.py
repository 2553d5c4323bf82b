"""A TCP proxy that can lose one answer: the request arrives, and then the connection is cut.

On threads of its own, so that nothing of it depends on the loop under test.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

_CHUNK: Final = 65536
_THREADS: Final = 32


@dataclass(slots=True)
class CuttingProxy:
    """Passes bytes on to ``target`` of this machine; TLS goes through it untouched."""

    target: int
    port: int
    threads: ThreadPoolExecutor
    loses_next_answer: bool = False
    """Set by the test on an open connection; taken back when an answer was lost."""

    ends: list[socket.socket] = field(default_factory=list)
    """Every connection's side that faces the session."""

    def accept_all(self, listener: socket.socket) -> None:
        """Carry connections until the listener is shut down."""
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                self.ends.append(near)
                far = socket.create_connection(("127.0.0.1", self.target))
                self.threads.submit(self._requests, near, far)
                self.threads.submit(self._answers, near, far)

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(_CHUNK):
                far.sendall(data)
        _hang_up(far)

    def _answers(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError), near, far:
            while data := far.recv(_CHUNK):
                if self.loses_next_answer:
                    self.loses_next_answer = False
                    break
                near.sendall(data)
            _hang_up(near)
            _hang_up(far)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def open_cutting_proxy(target: int) -> Iterator[CuttingProxy]:
    """Yield a proxy in front of ``target``; at the end every connection is cut."""
    with (
        ThreadPoolExecutor(_THREADS, "proxy") as threads,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        proxy = CuttingProxy(target, listener.getsockname()[1], threads)
        threads.submit(proxy.accept_all, listener)
        try:
            yield proxy
        finally:
            for end in (listener, *proxy.ends):
                _hang_up(end)
