"""Leaf keys, their requests, and material that would not stand in a handshake."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from svc_core.crypto import certificates
from svc_core.crypto.certificates import certificate_request, check_material, new_leaf_key
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import LeafNames
from svc_core.errors import TlsMaterialError
from tests.builders import NOW, make_leaf_key, seeded_entropy

MINUTE = timedelta(minutes=1)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
KEY = make_leaf_key()


def private(pem: SecretBytes) -> ec.EllipticCurvePrivateKey:
    """Parse a key the tests made."""
    key = serialization.load_pem_private_key(pem.reveal(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@dataclass(frozen=True)
class Authority:
    """An intermediate CA of the tests."""

    name: str
    not_after: datetime = NOW + 10 * MINUTE
    key_name: str = ""

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """Return its key, the same for the same names."""
        return private(make_leaf_key(self.key_name or self.name))

    @property
    def pem(self) -> str:
        """Return its certificate, self-signed."""
        return self.sign(self.key.public_key(), self.name, not_after=self.not_after, usage=None)

    def sign(
        self,
        public: ec.EllipticCurvePublicKey,
        subject: str = "",
        *,
        not_before: datetime = NOW - MINUTE,
        not_after: datetime = NOW + 5 * MINUTE,
        usage: x509.ObjectIdentifier | None = CLIENT,
    ) -> str:
        """Return a certificate for ``public``."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(names))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(public)
            .serial_number(7)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        signed = builder.sign(self.key, SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()


CA = Authority("ca-100-1")
OTHER = Authority("ca-101-1")
LEAF = CA.sign(private(KEY).public_key())


@dataclass(frozen=True)
class Material:
    """Arguments of `check_material`, good by default."""

    cert: str = LEAF + CA.pem
    key: SecretBytes = field(default_factory=lambda: KEY)
    trust: str = OTHER.pem + CA.pem
    now: datetime = NOW
    server: bool = False


def test_good_material_is_taken() -> None:
    good = Material()

    check_material(good.cert, good.key, good.trust, now=good.now, server=good.server)


def test_a_server_certificate_is_taken_for_a_server() -> None:
    leaf = CA.sign(private(KEY).public_key(), usage=SERVER)

    check_material(leaf, KEY, CA.pem, now=NOW, server=True)


ED25519 = SecretBytes(
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
)


def impostor_leaf() -> str:
    """Return a leaf that names `CA` as its issuer but is signed with another key."""
    impostor = Authority(CA.name, key_name="impostor")
    return impostor.sign(private(KEY).public_key())


UNUSABLE: dict[str, tuple[Callable[[], Material], str]] = {
    "no certificate": (lambda: Material(cert=""), "no PEM"),
    "certificate cut off": (lambda: Material(cert=Material().cert[:-40]), "cut off"),
    "trust file cut off": (lambda: Material(trust=Material().trust[:-40]), "cut off"),
    "trust file empty": (lambda: Material(trust=""), "trust file is no PEM"),
    "damaged base64": (lambda: Material(cert=LEAF.replace("MII", "M!!", 1)), "certificate"),
    "another key": (lambda: Material(key=make_leaf_key("other")), "not the certificate's"),
    "no key": (lambda: Material(key=SecretBytes(b"")), "no PEM key"),
    "key of another kind": (lambda: Material(key=ED25519), "no EC key"),
    "expired": (lambda: Material(now=NOW + 6 * MINUTE), "expired"),
    "expires now": (lambda: Material(now=NOW + 5 * MINUTE), "expired"),
    "not yet valid": (lambda: Material(now=NOW - 2 * MINUTE), "not valid before"),
    "client leaf for a server": (lambda: Material(server=True), "not for a server"),
    "server leaf for a client": (
        lambda: Material(cert=CA.sign(private(KEY).public_key(), usage=SERVER)),
        "not for a client",
    ),
    "no purpose": (
        lambda: Material(cert=CA.sign(private(KEY).public_key(), usage=None)),
        "no extended key usage",
    ),
    "chain with a gap": (lambda: Material(cert=LEAF + OTHER.pem), "out of order"),
    "issuer not trusted": (lambda: Material(trust=OTHER.pem), "not in the trust file"),
    "impostor of the same name": (
        lambda: Material(cert=impostor_leaf()),
        "not in the trust file",
    ),
    "issuer expired": (
        lambda: Material(cert=LEAF, trust=Authority("ca-100-1", NOW - MINUTE / 2).pem),
        "the issuer expired",
    ),
}


@pytest.mark.parametrize(("make", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_material_is_refused_with_its_reason(
    make: Callable[[], Material], reason: str
) -> None:
    bad = make()

    with pytest.raises(TlsMaterialError, match=reason):
        check_material(bad.cert, bad.key, bad.trust, now=bad.now, server=bad.server)


def test_a_request_carries_exactly_its_names() -> None:
    pem = certificate_request(
        KEY, uris=["spiffe://d/ns/n/sa/s"], dns=["localhost"], ips=["127.0.0.1", "::1"]
    )

    request = x509.load_pem_x509_csr(pem.encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert request.is_signature_valid
    assert not list(request.subject)
    assert names.critical
    assert [str(name.value) for name in names.value] == [
        "spiffe://d/ns/n/sa/s",
        "localhost",
        "127.0.0.1",
        "::1",
    ]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        pytest.param({}, "needs a name", id="no name"),
        pytest.param({"ips": ["300.1.1.1"]}, "300.1.1.1", id="no address"),
    ],
)
def test_a_request_without_legal_names_is_not_made(
    names: dict[str, list[str]], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        certificate_request(KEY, **names)


def test_keys_come_from_the_entropy_and_from_nothing_else() -> None:
    one, other = seeded_entropy(), seeded_entropy()

    first = new_leaf_key(one).reveal()

    assert first == new_leaf_key(other).reveal()
    assert first != new_leaf_key(one).reveal()


def test_facts_are_read_from_the_first_certificate() -> None:
    certificate = x509.load_pem_x509_certificate(LEAF.encode())

    assert certificates.fingerprint(LEAF + CA.pem) == certificate.fingerprint(SHA256()).hex()
    assert certificates.not_before(LEAF + CA.pem) == NOW - MINUTE
    assert certificates.not_after(LEAF + CA.pem) == NOW + 5 * MINUTE


def named(**names: list[str]) -> str:
    """Return a leaf of `CA` for exactly these names."""
    request = x509.load_pem_x509_csr(certificate_request(KEY, **names).encode())
    wanted = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    certificate = x509.load_pem_x509_certificate(LEAF.encode())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(certificate.issuer)
        .public_key(certificate.public_key())
        .serial_number(8)
        .not_valid_before(NOW)
        .not_valid_after(NOW + MINUTE)
        .add_extension(wanted, critical=True)
    )
    return builder.sign(CA.key, SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_names_are_read_by_their_kind() -> None:
    pem = named(uris=["spiffe://d/x"], dns=["localhost", "n1"], ips=["127.0.0.1", "::1"])

    assert certificates.names_of(pem) == LeafNames(
        ("spiffe://d/x",), ("localhost", "n1"), ("127.0.0.1", "::1")
    )
    assert certificates.names_of(CA.pem) == LeafNames()


SERVER_NAMES = LeafNames(dns=("localhost",), ips=("127.0.0.1",))


@pytest.mark.parametrize(
    ("has", "wants"),
    [
        pytest.param({"uris": ["spiffe://d/x"]}, LeafNames(("spiffe://d/x",)), id="a client"),
        pytest.param({"dns": ["localhost"], "ips": ["127.0.0.1"]}, SERVER_NAMES, id="a server"),
        pytest.param(
            {"dns": ["localhost", "n1"], "ips": ["127.0.0.1"]}, SERVER_NAMES, id="one host more"
        ),
    ],
)
def test_a_certificate_for_the_names_wanted_is_taken(
    has: dict[str, list[str]], wants: LeafNames
) -> None:
    certificates.check_names(named(**has), wants)


@pytest.mark.parametrize(
    ("has", "wants"),
    [
        pytest.param({"uris": ["spiffe://d/y"]}, LeafNames(("spiffe://d/x",)), id="another user"),
        pytest.param(
            {"uris": ["spiffe://d/x", "spiffe://d/y"]}, LeafNames(("spiffe://d/x",)), id="two users"
        ),
        pytest.param({"dns": ["x"]}, LeafNames(("spiffe://d/x",)), id="no user"),
        pytest.param({"dns": ["localhost"]}, SERVER_NAMES, id="an address is missing"),
        pytest.param({"ips": ["127.0.0.1"]}, SERVER_NAMES, id="a host is missing"),
        pytest.param(
            {"dns": ["localhost"], "ips": ["127.0.0.1"], "uris": ["spiffe://d/x"]},
            SERVER_NAMES,
            id="a server that is a user too",
        ),
    ],
)
def test_a_certificate_for_other_names_is_refused(
    has: dict[str, list[str]], wants: LeafNames
) -> None:
    with pytest.raises(TlsMaterialError, match=r"is (not )?for"):
        certificates.check_names(named(**has), wants)


def test_the_signer_is_found_by_its_signature_and_not_by_its_name() -> None:
    issuers = {"other": OTHER.pem, "ours": CA.pem}

    assert certificates.signer_among(LEAF, issuers) == "ours"
    assert certificates.signer_among(impostor_leaf(), issuers) == ""
    assert certificates.signer_among(LEAF, {}) == ""


def test_the_first_certificate_is_taken_alone() -> None:
    assert certificates.first_of(LEAF + CA.pem) == LEAF
    with pytest.raises(TlsMaterialError):
        certificates.first_of("")
