"""Material for real handshakes, and handshakes without a network."""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from svc_core.adapters.system_clock import SystemClock
from svc_core.crypto.certificates import (
    certificate_request,
    new_leaf_key,
    not_after,
    not_before,
)
from svc_core.domain.tls import TlsMaterial
from tests.builders import seeded_entropy
from tests.fakes.memory_certificate_issuer import Intermediate, make_intermediate, sign_leaf

LIFE = timedelta(hours=1)
HOST = "localhost"
SOMEONE = "spiffe://securetransport.local/ns/default/sa/someone"
_entropy = seeded_entropy(b"tls materials")


def new_issuer(name: str = "ca-1-1") -> Intermediate:
    """Return an issuer that is valid now: handshakes know no other time."""
    return make_intermediate(name, now=SystemClock().now(), life=LIFE)


def make_material(
    issuer: Intermediate,
    *,
    server: bool = False,
    trusted: Sequence[Intermediate] = (),
    now: datetime | None = None,
    ttl: timedelta = LIFE / 2,
    uri: str = SOMEONE,
) -> TlsMaterial:
    """Return a leaf of ``issuer`` that trusts ``trusted``, by default its own issuer.

    Args:
        issuer: who signs.
        server: whether it is for a server called `HOST`; else for the client ``uri``.
        trusted: what its holder trusts.
        now: when it is issued, by default now.
        ttl: how long it is valid from then.
        uri: a client's only name.
    """
    key = new_leaf_key(_entropy)
    csr = (
        certificate_request(key, dns=[HOST], ips=["127.0.0.1"])
        if server
        else certificate_request(key, uris=[uri])
    )
    made_at = now or SystemClock().now()
    leaf = sign_leaf(issuer, csr, now=made_at, ttl=ttl, server=server)
    return TlsMaterial(
        chain_pem=leaf + issuer.pem,
        key_pem=key,
        trust_pem="".join(i.pem for i in trusted or (issuer,)),
        issuer=issuer.name,
        not_before=not_before(leaf),
        not_after=not_after(leaf),
        issued_at=made_at,
    )


def shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, *, host: str = HOST
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Do one handshake in memory and return both ends.

    Raises:
        ssl.SSLError: as the end that refused says.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=host)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (asking, answering):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    answering.do_handshake()
    return asking, answering
