"""Holders of TLS material and connections that can move to a new certificate."""

from typing import Protocol

from svc_core.domain.tls import TlsMaterial


class TlsSlot(Protocol):
    """Where one identity's material is kept: in memory for handshakes, on disk for others."""

    @property
    def material(self) -> TlsMaterial | None:
        """What is in use; None before the first `adopt`."""
        ...

    async def adopt(self, material: TlsMaterial) -> None:
        """Use ``material`` for every new handshake and publish it as files.

        Raises:
            TlsMaterialError: it is not usable; what was in use stays in use.
        """
        ...


class Movable(Protocol):
    """A live connection that can be replaced by one with the newest certificate."""

    @property
    def leaf_in_use(self) -> str:
        """The certificate (PEM chain) the live connection was made with; empty without one."""
        ...

    @property
    def issuer(self) -> str:
        """Issuer of the certificate the live connection was made with; empty without one."""
        ...

    async def swap(self) -> None:
        """Move to a new connection, make before break; raise and change nothing on failure."""
        ...
