"""What a thief of an AppRole's credentials can get from OpenBao: leaves, by explicit issuer."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devstack.openbao_api import OpenBaoApi
from svc_core.crypto.certificates import certificate_request, new_leaf_key
from svc_core.domain.identity import GATEKEEPER, Deployment
from svc_core.domain.profiles import PROFILES
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.outsider import Identity, Outsider, connected, refusal, tls_context, urls
from tests.integration.bare_stack import ReachableOpenBao

DEPLOYMENT: Final = Deployment()
_NAME_PREFIX: Final = "SecureTransport "
_MINUTE: Final = timedelta(minutes=1)
_MOMENT: Final = timedelta(seconds=2)
_LONGEST: Final = 2 * PROFILES["demo"].leaf_ttl
"""What the roles allow at most."""


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An intermediate as the trust file has it."""

    certificate: x509.Certificate

    @property
    def name(self) -> str:
        """The name OpenBao has it under."""
        common = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common[0].value).removeprefix(_NAME_PREFIX)

    @property
    def epoch(self) -> int:
        """The CA epoch in its name; two that begin at once differ in nothing else."""
        return int(self.name.split("-")[1])

    @property
    def pem(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def trusted_issuers(trust: Path) -> list[TrustedIssuer]:
    """Return the intermediates in a trust file, the oldest first."""
    found = map(TrustedIssuer, x509.load_pem_x509_certificates(trust.read_bytes()))
    return sorted(found, key=lambda issuer: issuer.epoch)


@asynccontextmanager
async def logged_in(stack: LoadedStack, role: str) -> AsyncIterator[OpenBaoApi]:
    """Yield OpenBao's API under the credentials in ``<role>/role_id`` and ``secret_id``."""
    openbao = ReachableOpenBao(stack.layout, stack.stack.endpoints)
    async with openbao.logged_in(role) as session:
        yield session


async def take_leaf(
    session: OpenBaoApi, account: str, issuer: TrustedIssuer, folder: Path, *, ttl: timedelta
) -> Identity:
    """Have ``issuer`` sign a client leaf for ``account`` and keep it in files."""
    key = new_leaf_key(os.urandom)
    csr = certificate_request(key, uris=[DEPLOYMENT.spiffe_id(account)])
    body = {"csr": csr, "ttl": f"{int(ttl.total_seconds())}s"}
    answer = await session.write(f"nats_int/issuer/{issuer.name}/sign/{account}", body)
    leaf = str(answer["data"]["certificate"]).strip().encode() + b"\n"
    return _kept(folder / f"{account}-{issuer.name}", leaf + issuer.pem, key.reveal())


def forge_identity(account: str, issuer: TrustedIssuer, folder: Path) -> Identity:
    """Make a leaf for ``account`` under a CA of our own that bears the name of ``issuer``."""
    authority, own = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    name = issuer.certificate.subject
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    uri = x509.UniformResourceIdentifier(DEPLOYMENT.spiffe_id(account))
    ca = (
        _builder(name, name, authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    leaf = (
        _builder(x509.Name([]), name, own)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=True)
        .add_extension(usage, critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = [c.public_bytes(serialization.Encoding.PEM) for c in (leaf, ca)]
    key = own.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return _kept(folder / f"forged-{account}", b"".join(pem), key)


@dataclass(frozen=True, slots=True)
class Theft:
    """A leaf of the oldest trusted issuer, and connections that were made with it."""

    stack: LoadedStack
    issuer: TrustedIssuer
    stolen: Identity
    expires_at: datetime
    connections: tuple[Outsider, ...]
    """One to every server."""

    @property
    def is_cut(self) -> bool:
        """Whether every connection has been ended."""
        return all(connection.client.is_closed for connection in self.connections)

    async def refusals(self) -> list[str]:
        """Return what every server answers to the leaf now."""
        layout = self.stack.layout
        context = tls_context(layout.trust_file, self.stolen)
        return [await refusal(url, context) for url in urls(layout)]


@asynccontextmanager
async def open_theft(
    stack: LoadedStack, folder: Path, *, issuer_name: str = ""
) -> AsyncIterator[Theft]:
    """Take a leaf with Gatekeeper's credentials, connect with it everywhere and stay.

    Args:
        stack: whose servers.
        folder: for the leaf.
        issuer_name: whose leaf; of the oldest trusted issuer without one.
    """
    layout = stack.layout
    trusted = trusted_issuers(layout.trust_file)
    issuer = next((i for i in trusted if i.name == issuer_name), trusted[0])
    async with logged_in(stack, GATEKEEPER) as thief:
        ttl = min(_LONGEST, issuer.certificate.not_valid_after_utc - datetime.now(UTC) - _MOMENT)
        stolen = await take_leaf(thief, GATEKEEPER, issuer, folder, ttl=ttl)
    leaf = x509.load_pem_x509_certificate(stolen.certificate.read_bytes())
    context = tls_context(layout.trust_file, stolen)
    async with AsyncExitStack() as resources:
        connections = [
            await resources.enter_async_context(connected(url, context, GATEKEEPER))
            for url in urls(layout)
        ]
        yield Theft(stack, issuer, stolen, leaf.not_valid_after_utc, tuple(connections))


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
        .not_valid_before(now - _MINUTE)
        .not_valid_after(now + 10 * _MINUTE)
    )


def _kept(folder: Path, chain: bytes, key: bytes) -> Identity:
    folder.mkdir()
    identity = Identity(folder / "cert.pem", folder / "key.pem")
    identity.certificate.write_bytes(chain)
    identity.key.write_bytes(key)
    return identity
