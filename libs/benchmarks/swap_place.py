"""What a measuring process of ``bench swap`` is told: which way to move, where the servers are.

Certificates are on disk, one directory for each move and user, made before anything is measured:
`write_move` writes what `SwapPlace.material` reads.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from svc_core.adapters.files import make_private_directory, write_private
from svc_core.config import NatsSettings
from svc_core.crypto.certificates import not_after, not_before
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA, ServiceName
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import TlsMaterial

USERS: Final = (METADATA, GATEKEEPER, AUTHCONTROLLER)
"""Who declares the stream, who publishes, who consumes."""
_CHAIN: Final = "cert.pem"
_KEY: Final = "key.pem"
_TRUST: Final = "ca.pem"


class Way(StrEnum):
    """How a connection gets to a new certificate."""

    SWAP = "swap"
    """A second connection beside the first: `NatsConnection.swap`."""
    DRAIN = "drain, connect"
    """The client library alone: drain the first, then make the second."""
    RECONNECT = "reconnect"
    """The client library's own reconnect, with another context."""


@dataclass(frozen=True, slots=True)
class SwapPlace:
    """The order of one measuring process; holds no secret."""

    way: Way
    servers: tuple[str, ...]
    folder: str
    """Where the certificates are."""
    rate: float
    """Messages per second."""
    first_move: int
    """Whose certificates are in use at the start."""

    @property
    def settings(self) -> NatsSettings:
        """What a service's settings would say."""
        return NatsSettings(servers=self.servers)

    def material(self, move: int, account: ServiceName) -> TlsMaterial:
        """Return what ``account`` connects with after ``move`` moves."""
        own = _folder(Path(self.folder), move, account)
        chain = (own / _CHAIN).read_text()
        return TlsMaterial(
            chain_pem=chain,
            key_pem=SecretBytes((own / _KEY).read_bytes()),
            trust_pem=(own / _TRUST).read_text(),
            issuer=issuer_name(move),
            not_before=not_before(chain),
            not_after=not_after(chain),
            issued_at=not_before(chain),
        )


def issuer_name(move: int) -> str:
    """Return the name of the issuer that signs after ``move`` moves."""
    return f"ca-{move}-1"


def write_move(folder: Path, move: int, account: ServiceName, material: TlsMaterial) -> None:
    """Write what `SwapPlace.material` reads; mode 0600, in directories of mode 0700."""
    make_private_directory(_folder(folder, move, account).parent)
    own = make_private_directory(_folder(folder, move, account))
    write_private(own / _CHAIN, material.chain_pem.encode())
    write_private(own / _KEY, material.key_pem.reveal())
    write_private(own / _TRUST, material.trust_pem.encode())


def _folder(folder: Path, move: int, account: ServiceName) -> Path:
    return folder / f"move-{move}" / account
