"""A certificate authority for measuring servers: in memory, for hours, trusted by nobody else.

As in the product the trusted certificate is that of the issuer, keys are EC P-256, a client's only
name is its SPIFFE id, and a peer shows its leaf with the issuer's certificate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from svc_core.crypto.certificates import certificate_request, new_leaf_key
from svc_core.domain.identity import NATS_ROUTE, Deployment
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import TlsMaterial

_BACKDATE: Final = timedelta(minutes=1)
_LIFE: Final = timedelta(hours=4)
HOST: Final = "localhost"


@dataclass(frozen=True, slots=True)
class BenchAuthority:
    """One issuer and its key."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str, *, now: datetime) -> Self:
        """Return a new issuer, valid for some hours from a little before ``now``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(key.public_key(), subject, subject, now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, SHA256())
        )
        return cls(name, key, certificate)

    @property
    def pem(self) -> str:
        """The issuer's certificate: what is trusted."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def server(self, *, now: datetime, entropy: Callable[[int], bytes]) -> TlsMaterial:
        """Return material for a server on this machine."""
        key = new_leaf_key(entropy)
        request = certificate_request(key, dns=[HOST], ips=["127.0.0.1"])
        leaf = self._sign(request, [ExtendedKeyUsageOID.SERVER_AUTH], now)
        return self._material(leaf, key, now)

    def client(
        self, account: str, *, now: datetime, entropy: Callable[[int], bytes]
    ) -> TlsMaterial:
        """Return material for the NATS user ``account``."""
        key = new_leaf_key(entropy)
        request = certificate_request(key, uris=[Deployment().spiffe_id(account)])
        leaf = self._sign(request, [ExtendedKeyUsageOID.CLIENT_AUTH], now)
        return self._material(leaf, key, now)

    def peer(self, *, now: datetime, entropy: Callable[[int], bytes]) -> TlsMaterial:
        """Return material for a server that also connects to others of its cluster."""
        key = new_leaf_key(entropy)
        uri = Deployment().spiffe_id(NATS_ROUTE)
        request = certificate_request(key, uris=[uri], dns=[HOST], ips=["127.0.0.1"])
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._material(self._sign(request, both, now), key, now)

    def _sign(
        self, request: str, usages: list[x509.ObjectIdentifier], now: datetime
    ) -> x509.Certificate:
        csr = x509.load_pem_x509_csr(request.encode())
        public = csr.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise TypeError("leaf keys are EC keys")
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _builder(public, x509.Name([]), self.certificate.subject, now)
            .add_extension(names.value, critical=names.critical)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self.key, SHA256())
        )

    def _material(self, leaf: x509.Certificate, key: SecretBytes, now: datetime) -> TlsMaterial:
        return TlsMaterial(
            chain_pem=leaf.public_bytes(Encoding.PEM).decode() + self.pem,
            key_pem=key,
            trust_pem=self.pem,
            issuer=self.name,
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
            issued_at=now,
        )


def _builder(
    public: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + _LIFE)
    )
