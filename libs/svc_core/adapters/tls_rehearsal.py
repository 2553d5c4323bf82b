"""A handshake in memory with material that is about to be used, before anybody sees it.

What reading certificates cannot show, OpenSSL says here: whether it takes this key, this chain and
this purpose. The times of validity are left out, because whoever calls has compared them with its
own clock.
"""

import ssl
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from svc_core.adapters.tls_contexts import client_context, server_context, trusting_context
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import LeafNames, TlsMaterial
from svc_core.errors import TlsMaterialError

_NO_CHECK_TIME: Final = 0x200000
"""``X509_V_FLAG_NO_CHECK_TIME``, which Python has no name for."""
_PEER: Final = "rehearsal.invalid"
_ROUNDS: Final = 3


def rehearse_server(context: ssl.SSLContext, material: TlsMaterial, names: LeafNames) -> None:
    """Shake hands with ``context`` as a client would who trusts what ``material`` trusts.

    Args:
        context: the very context that will serve.
        material: what it was built from.
        names: whom a client may ask for; without a host name none is compared.

    Raises:
        TlsMaterialError: with OpenSSL's reason.
    """
    for host in names.hosts or ("",):
        client = trusting_context(material.trust_pem)
        client.check_hostname = bool(host)
        client.verify_flags |= _NO_CHECK_TIME
        _shake_hands(client, context, host or None)


def rehearse_client(material: TlsMaterial) -> None:
    """Show ``material`` to a server that trusts what it trusts and insists on a certificate.

    Raises:
        TlsMaterialError: with OpenSSL's reason.
    """
    peer = _peer()
    server = server_context(replace(peer, trust_pem=material.trust_pem))
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= _NO_CHECK_TIME
    client = client_context(replace(material, trust_pem=peer.trust_pem))
    _shake_hands(client, server, _PEER)


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str | None) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=host)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for _ in range(_ROUNDS):
            for end in (asking, answering):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        answering.do_handshake()
    except ssl.SSLError as err:
        reason = getattr(err, "verify_message", "") or err.reason or "no handshake"
        raise TlsMaterialError(f"a handshake in memory failed: {reason}") from err


@cache
def _peer() -> TlsMaterial:
    """Return a server that exists in this process only and is trusted by nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    begins, ends = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_PEER)]), critical=True)
        .sign(key, SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return TlsMaterial(pem, SecretBytes(secret), pem, "rehearsal", begins, ends, begins)
