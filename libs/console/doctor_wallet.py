"""The certificates an examination shows, each taken anew each time: they rotate meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from console.doctor_cases import Shown
from svc_core.adapters.files import read_directory
from svc_core.crypto.certificates import names_of, not_after, not_before
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import ConfigError, SvcError

_BACKDATE: Final = timedelta(minutes=1)
_LIFE: Final = timedelta(minutes=10)
_PAIR: Final = ("cert.pem", "key.pem")


class NotInWalletError(SvcError):
    """A certificate that an attempt would show is not to be had here."""

    code = "doctor.not_in_wallet"


class Wallet(Protocol):
    """Where certificates come from."""

    def trust(self) -> str:
        """Return what is trusted now, as PEM."""
        ...

    def show(self, shown: Shown) -> TlsMaterial:
        """Return a certificate to show; raise `NotInWalletError` with the reason for none."""
        ...


@dataclass(frozen=True, slots=True)
class FileWallet:
    """Certificates in directories with ``cert.pem`` and ``key.pem``."""

    trust_file: Path
    directories: Mapping[Shown, Path]

    def trust(self) -> str:
        """Return the trust file's content.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            return self.trust_file.read_text()
        except (OSError, UnicodeDecodeError) as err:
            raise ConfigError(f"{self.trust_file}: cannot be read: {err}") from err

    def show(self, shown: Shown) -> TlsMaterial:
        """Return one of the certificates; a foreign one is made here.

        Raises:
            NotInWalletError: no directory was named for it.
            TlsMaterialError: the directory holds no whole certificate.
        """
        if shown is Shown.FOREIGN:
            return forge(self.show(Shown.GOOD), self.trust())
        directory = self.directories.get(shown)
        found = read_directory(directory, _PAIR) if directory is not None else None
        if found is None:
            raise NotInWalletError(f"no such certificate: name one with --show {shown.value}=DIR")
        return material(found["cert.pem"].decode(), SecretBytes(found["key.pem"]), self.trust())


def material(chain_pem: str, key: SecretBytes, trust_pem: str) -> TlsMaterial:
    """Return material from its parts; the dates are those of the leaf."""
    begins = not_before(chain_pem)
    return TlsMaterial(chain_pem, key, trust_pem, "", begins, not_after(chain_pem), begins)


def forge(original: TlsMaterial, trust_pem: str) -> TlsMaterial:
    """Return what ``original`` would be had somebody else signed it under the issuer's own name."""
    authority, own = _new_key(), _new_key()
    issuer = x509.load_pem_x509_certificates(trust_pem.encode())[0].subject
    uris = [x509.UniformResourceIdentifier(uri) for uri in names_of(original.chain_pem).uris]
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    ca = (
        _builder(issuer, issuer, authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, SHA256())
    )
    leaf = (
        _builder(x509.Name([]), issuer, own)
        .add_extension(x509.SubjectAlternativeName(uris), critical=True)
        .add_extension(usage, critical=False)
        .sign(authority, SHA256())
    )
    chain = "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in (leaf, ca))
    key = own.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return replace(original, chain_pem=chain, key_pem=SecretBytes(key), trust_pem=trust_pem)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + _LIFE)
    )
