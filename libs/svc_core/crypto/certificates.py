"""Leaf keys, requests for their certificates, and the check of what came back.

Keys are EC P-256 and leave this module as PKCS8 PEM in `SecretBytes`. Names are carried in the
subject alternative name only; the subject stays empty.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import LeafNames
from svc_core.errors import TlsMaterialError

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# 64 bits more than the order has, so that the reduction leaves no bias (FIPS 186-5, A.2.1).
_SCALAR_DRAW: Final = 40
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def new_leaf_key(entropy: Callable[[int], bytes]) -> SecretBytes:
    """Return a new EC P-256 private key as PKCS8 PEM, its scalar drawn from ``entropy``."""
    scalar = int.from_bytes(entropy(_SCALAR_DRAW), "big") % (_ORDER - 1) + 1
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    return SecretBytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def certificate_request(
    key_pem: SecretBytes,
    *,
    uris: Sequence[str] = (),
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
) -> str:
    """Return a PEM certificate request for exactly these names, with an empty subject.

    Raises:
        ValueError: no name at all, or one that is no URI, DNS name or IP address.
        TlsMaterialError: ``key_pem`` is no EC private key.
    """
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ip_address(address)) for address in ips]
    if not names:
        raise ValueError("a certificate request needs a name")
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(_private_key(key_pem), SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


def first_of(pem: str) -> str:
    """Return the first certificate in ``pem`` alone.

    Raises:
        TlsMaterialError: ``pem`` is not whole certificates.
    """
    leaf = _certificates(pem, "certificate")[0]
    return leaf.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of the first certificate's DER, in lower-case hex.

    Raises:
        TlsMaterialError: ``pem`` is not whole certificates.
    """
    return _certificates(pem, "certificate")[0].fingerprint(SHA256()).hex()


def not_before(pem: str) -> datetime:
    """Return when the first certificate in ``pem`` begins to be valid, in UTC."""
    return _certificates(pem, "certificate")[0].not_valid_before_utc


def not_after(pem: str) -> datetime:
    """Return when the first certificate in ``pem`` stops being valid, in UTC."""
    return _certificates(pem, "certificate")[0].not_valid_after_utc


def names_of(pem: str) -> LeafNames:
    """Return the subject alternative names of the first certificate; none where it has none."""
    try:
        names = (
            _certificates(pem, "certificate")[0]
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value
        )
    except (x509.ExtensionNotFound, ValueError):
        return LeafNames()
    return LeafNames(
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        ips=tuple(map(str, names.get_values_for_type(x509.IPAddress))),
    )


def signer_among(pem: str, issuers: Mapping[str, str]) -> str:
    """Return which issuer signed the first certificate, or the empty string.

    Args:
        pem: the leaf, with or without its chain.
        issuers: certificates as PEM, by name.

    Raises:
        TlsMaterialError: ``pem`` or one of ``issuers`` is not whole certificates.
    """
    leaf = _certificates(pem, "certificate")[0]
    for name, issuer_pem in issuers.items():
        if _issued_by(leaf, _certificates(issuer_pem, "issuer")[0]):
            return name
    return ""


def check_names(pem: str, names: LeafNames) -> None:
    """Refuse a certificate that is not for exactly these URIs, or lacks a host name or address.

    A second URI would make the holder two users at once; a host name too many changes nothing.

    Raises:
        TlsMaterialError: with the names that differ.
    """
    found = names_of(pem)
    if set(found.uris) != set(names.uris):
        raise TlsMaterialError(
            f"the certificate is for {sorted(found.uris)}, not for {sorted(names.uris)}"
        )
    missing = set(names.dns) - set(found.dns) | set(names.ips) - set(found.ips)
    if missing:
        raise TlsMaterialError(f"the certificate is not for {sorted(missing)}")


def check_material(
    cert_pem: str, key_pem: SecretBytes, trust_pem: str, *, now: datetime, server: bool
) -> None:
    """Refuse a certificate that would not stand in a handshake as it is.

    Args:
        cert_pem: leaf first, then the intermediate that signed it.
        key_pem: the leaf's private key.
        trust_pem: every certificate a peer trusts; at least one signed the leaf.
        now: aware; the time of the handshake.
        server: True for a server's certificate, False for a client's.

    Raises:
        TlsMaterialError: with the reason; nothing in it is secret.
    """
    chain = _certificates(cert_pem, "certificate")
    leaf = chain[0]
    if _private_key(key_pem).public_key() != leaf.public_key():
        raise TlsMaterialError("the private key is not the certificate's")
    _check_valid(leaf, "the certificate", now)
    _check_purpose(leaf, server=server)
    for issued, issuer in pairwise(chain):
        if not _issued_by(issued, issuer):
            raise TlsMaterialError("the chain is out of order or has a gap")
    trusted = [c for c in _certificates(trust_pem, "trust file") if _issued_by(leaf, c)]
    if not trusted:
        raise TlsMaterialError("the issuer of the certificate is not in the trust file")
    _check_valid(max(trusted, key=lambda c: c.not_valid_after_utc), "the issuer", now)


def check_chain(trust_pem: str, root_pem: str, *, now: datetime) -> None:
    """Refuse trusted intermediates that no trusted root signed.

    Args:
        trust_pem: the trusted intermediates; those whose life is over are good for nothing and
            may have outlived the trust in their root.
        root_pem: the trusted roots, each signed by itself; empty: nothing is asked for.
        now: aware; a root whose life is over counts for nothing.

    Raises:
        TlsMaterialError: with the name of the intermediate, or what is wrong with the roots.
    """
    if not root_pem:
        return
    roots = _certificates(root_pem, "root file")
    if not all(_issued_by(root, root) for root in roots):
        raise TlsMaterialError("the root file holds a certificate that is no root")
    valid = [r for r in roots if r.not_valid_before_utc <= now < r.not_valid_after_utc]
    for issuer in _certificates(trust_pem, "trust file"):
        is_over = issuer.not_valid_after_utc <= now
        if not is_over and not any(_issued_by(issuer, root) for root in valid):
            name = issuer.subject.rfc4514_string()
            raise TlsMaterialError(f"no trusted root signed the trusted issuer {name}")


def _certificates(pem: str, what: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as err:
        raise TlsMaterialError(f"the {what} is no PEM certificate") from err
    # The parser skips what follows the last whole block, so a cut-off file would pass.
    if not len(found) == pem.count(_BEGIN) == pem.count(_END):
        raise TlsMaterialError(f"the {what} is cut off")
    return found


def _private_key(key_pem: SecretBytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(key_pem.reveal(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # No cause: the parser's text may quote its input.
        raise TlsMaterialError("the private key is no PEM key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TlsMaterialError("the private key is no EC key")
    return key


def _check_valid(certificate: x509.Certificate, what: str, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        raise TlsMaterialError(
            f"{what} is not valid before {certificate.not_valid_before_utc.isoformat()}"
        )
    if now >= certificate.not_valid_after_utc:
        raise TlsMaterialError(f"{what} expired at {certificate.not_valid_after_utc.isoformat()}")


def _check_purpose(leaf: x509.Certificate, *, server: bool) -> None:
    wanted = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError) as err:
        raise TlsMaterialError("the certificate states no extended key usage") from err
    if wanted not in usages:
        raise TlsMaterialError(f"the certificate is not for a {'server' if server else 'client'}")


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
