"""Where a server that is measured listens, and with what to reach it."""

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.certificates import BenchAuthority
from svc_core.adapters.files import make_private_directory, write_private
from svc_core.adapters.nats_link import LinkCredentials
from svc_core.adapters.system_entropy import system_entropy
from svc_core.adapters.tls_contexts import client_context
from svc_core.config import NatsSettings
from svc_core.crypto.certificates import not_after, not_before
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import TlsMaterial

CHAIN: Final = "cert.pem"
KEY: Final = "key.pem"
TRUST: Final = "ca.pem"
SERVER: Final = "server"
_ISSUER: Final = "bench"


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """One server."""

    url: str
    folder: str = ""
    """Directory with `CHAIN`, `KEY` and `TRUST` of every client, by name; empty: no TLS."""

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.folder)

    @property
    def settings(self) -> NatsSettings:
        """Settings that reach it."""
        # Everything waits on a machine that is busy with something else; nothing may be repeated.
        patience = timedelta(seconds=20)
        return NatsSettings(servers=(self.url,), ack_timeout=patience, connect_timeout=patience)

    def credentials(self, account: ServiceName) -> LinkCredentials:
        """Return what ``account`` connects with; without TLS a context that is not used."""
        if not self.is_secure:
            return LinkCredentials(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "", "")
        own = Path(self.folder) / account
        chain = (own / CHAIN).read_text()
        material = TlsMaterial(
            chain_pem=chain,
            key_pem=SecretBytes((own / KEY).read_bytes()),
            trust_pem=(own / TRUST).read_text(),
            issuer=_ISSUER,
            not_before=not_before(chain),
            not_after=not_after(chain),
            issued_at=not_before(chain),
        )
        return LinkCredentials(client_context(material), _ISSUER, chain)


def write_certificates(folder: Path, *, now: datetime) -> None:
    """Write what a server and its clients need into ``folder``, a directory for each; mode 0600."""
    authority = BenchAuthority.make(_ISSUER, now=now)
    _write(folder / SERVER, authority.server(now=now, entropy=system_entropy))
    for account in (GATEKEEPER, AUTHCONTROLLER):
        _write(folder / account, authority.client(account, now=now, entropy=system_entropy))


def _write(folder: Path, material: TlsMaterial) -> None:
    make_private_directory(folder)
    write_private(folder / CHAIN, material.chain_pem.encode())
    write_private(folder / KEY, material.key_pem.reveal())
    write_private(folder / TRUST, material.trust_pem.encode())
