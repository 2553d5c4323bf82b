"""The CA of OpenBao's own listener: long-lived, its own, pinned by every service.

It is apart from the CAs that OpenBao issues, so that OpenBao can be verified before it works.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from svc_core.adapters.files import write_private

_CA_LIFETIME: Final = timedelta(days=3652)
_LEAF_LIFETIME: Final = timedelta(days=397)
_BACKDATE: Final = timedelta(hours=1)


def ensure_listener_tls(
    tls: Path, ca_file: Path, key_file: Path, *, now: datetime, more_names: Sequence[str] = ()
) -> None:
    """Make the CA where there is none, and a fresh listener certificate in any case.

    Args:
        tls: directory for the listener's ``cert.pem`` and ``key.pem``.
        ca_file: where the CA certificate is shipped from; replaced only with its key.
        key_file: the CA's key, out of reach of OpenBao itself.
        now: aware, UTC.
        more_names: DNS names of the listener beside ``localhost`` and ``openbao``.
    """
    if not key_file.exists() or not ca_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(ca_file, _pem(_authority(key, now)))
        ca_file.chmod(0o644)
        write_private(key_file, _key_pem(key))
    authority_key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the listener's CA key is no EC key")
    authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    leaf = _leaf(leaf_key, authority, authority_key, now, more_names)
    write_private(tls / "cert.pem", _pem(leaf))
    write_private(tls / "key.pem", _key_pem(leaf_key))


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SecureTransport OpenBao CA")])
    return (
        _builder(name, name, key.public_key(), now, _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    more_names: Sequence[str],
) -> x509.Certificate:
    names: list[x509.GeneralName] = [
        *map(x509.DNSName, ("localhost", "openbao", *more_names)),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(x509.Name([]), authority.subject, key.public_key(), now, _LEAF_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
