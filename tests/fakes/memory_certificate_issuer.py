"""A `CertificateIssuer` in memory: real X.509 by named intermediates, at the test's own time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from svc_core.errors import NotFoundError, RequestRefusedError, SvcError
from svc_core.ports.certificates import LeafRequest
from svc_core.ports.time import Clock

BACKDATE = timedelta(minutes=1)
_MAY_SIGN = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Intermediate:
    """One issuer: usually a self-signed CA, which is all that partial chains need."""

    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


def make_intermediate(name: str, *, now: datetime, life: timedelta) -> Intermediate:
    """Return a new issuer that is valid from a little before ``now`` for ``life``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(key.public_key(), subject, subject, now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return Intermediate(name, key, certificate)


def make_root(name: str, *, now: datetime, life: timedelta) -> Intermediate:
    """Return a new root, which signs issuers."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Intermediate(name, key, _authority(name, key, None, now=now, life=life, below=1))


def make_issuer_under(
    root: Intermediate, name: str, *, now: datetime, life: timedelta
) -> Intermediate:
    """Return a new issuer that ``root`` signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Intermediate(name, key, _authority(name, key, root, now=now, life=life, below=0))


def _authority(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    signer: Intermediate | None,
    *,
    now: datetime,
    life: timedelta,
    below: int,
) -> x509.Certificate:
    """Return a CA certificate by RFC 5280 to the letter, signed by itself without a signer."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = subject if signer is None else signer.certificate.subject
    signing_key = key if signer is None else signer.key
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
    return (
        _builder(key.public_key(), subject, issuer, now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(_MAY_SIGN, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
        .sign(signing_key, SHA256())
    )


def sign_leaf(
    issuer: Intermediate,
    csr_pem: str,
    *,
    now: datetime,
    ttl: timedelta,
    server: bool,
    client: bool = False,
) -> str:
    """Return the certificate for a request, as PEM; with both set it is for both ends."""
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
    if client or not server:
        usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    certificate = (
        _builder(csr.public_key(), x509.Name([]), issuer.certificate.subject, now, now + ttl)
        .add_extension(names.value, critical=names.critical)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
        .sign(issuer.key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _builder(
    public: object, subject: x509.Name, issuer: x509.Name, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(end)
    )


@dataclass
class MemoryCertificateIssuer:
    """Signs what the issuers it holds are asked for; roles that end in ``-admin`` are servers'."""

    clock: Clock
    issuers: dict[str, Intermediate] = field(default_factory=dict)
    signed: list[LeafRequest] = field(default_factory=list)
    failure: SvcError | None = None
    """What every request fails with, as long as it is set."""

    async def sign_leaf(self, request: LeafRequest) -> str:
        """Return the leaf certificate as PEM."""
        if self.failure is not None:
            raise self.failure
        issuer = self.issuers.get(request.issuer)
        if issuer is None:
            raise NotFoundError(f"no issuer {request.issuer}")
        if self.clock.now() + request.ttl > issuer.certificate.not_valid_after_utc:
            raise RequestRefusedError("cannot satisfy request, as it would outlive the issuer")
        self.signed.append(request)
        return sign_leaf(
            issuer,
            request.csr_pem,
            now=self.clock.now(),
            ttl=request.ttl,
            server=request.role.endswith("-admin"),
        )
