"""The registry admits who answers right, and says of everyone else what is wrong."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType

import pytest

from svc_core.crypto.kem import KemAlgorithm
from svc_core.crypto.known_answers import read_known_answers
from svc_core.crypto.provider_cryptography import CRYPTOGRAPHY
from svc_core.crypto.provider_pqcrypto import load_pqcrypto
from svc_core.crypto.providers import (
    DecapsulationKey,
    KemProvider,
    Operation,
    PrivateKey,
    Provider,
    PublicKey,
    SigningProvider,
    UnsupportedError,
)
from svc_core.crypto.registry import LOADERS, Loader, Registry, open_registry
from svc_core.crypto.signing import Algorithm
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ConfigError, ProviderRefusedError, VerificationError

SIGNING, KEM = CRYPTOGRAPHY.signing, CRYPTOGRAPHY.kem
SEED = SecretBytes(bytes(64))
KNOWN = {answer.ciphertext for answer in read_known_answers().kem}


class Lenient:
    """Verifies everything."""

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        """Return."""


@dataclass
class Deaf:
    """Verifies whatever the context."""

    key: PublicKey

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        """Try every context it has heard of."""
        for known in (context, context[:-1]):
            try:
                return self.key.verify(signature, message, known)
            except VerificationError:
                continue
        raise VerificationError


@dataclass
class Sloppy:
    """Overlooks a change of the signature."""

    key: PublicKey

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        """Try the signature with its first bit changed too."""
        for known in (signature, bytes([signature[0] ^ 1]) + signature[1:]):
            try:
                return self.key.verify(known, message, context)
            except VerificationError:
                continue
        raise VerificationError


@dataclass
class Forgetful:
    """Signs without the context."""

    key: PrivateKey

    @property
    def public(self) -> bytes:
        """The right one."""
        return self.key.public

    def sign(self, message: bytes, context: bytes) -> bytes:
        """Sign under the empty context."""
        return self.key.sign(message, b"")


@dataclass
class OddSigning:
    """The default provider with one thing wrong."""

    fault: str

    def private_key(self, algorithm: Algorithm, seed: SecretBytes) -> PrivateKey:
        """Return a key that is wrong in the way of ``fault``."""
        if self.fault == "another key":
            return SIGNING.private_key(algorithm, SecretBytes(bytes(32)))
        key = SIGNING.private_key(algorithm, seed)
        return Forgetful(key) if self.fault == "no context" else key

    def public_key(self, algorithm: Algorithm, public: bytes) -> PublicKey:
        """Return a key that is wrong in the way of ``fault``."""
        if self.fault == "lenient":
            return Lenient()
        key = SIGNING.public_key(algorithm, public)
        if self.fault == "sloppy":
            return Sloppy(key)
        return Deaf(key) if self.fault == "deaf" else key


@dataclass
class Explicit:
    """Rejects with an error, or gives a made-up secret."""

    key: DecapsulationKey
    fault: str

    @property
    def public(self) -> bytes:
        """The right one."""
        return self.key.public

    def decapsulate(self, ciphertext: bytes) -> SecretBytes:
        """Open what was made for this key only."""
        if self.fault == "wrong secret":
            return SecretBytes(bytes(32))
        secret = self.key.decapsulate(ciphertext)
        if ciphertext in KNOWN:
            return secret
        if self.fault == "explicit":
            raise VerificationError
        return SecretBytes(bytes(32))


@dataclass
class OddKem:
    """The default provider with one thing wrong."""

    fault: str

    def private_key(self, algorithm: KemAlgorithm, seed: SecretBytes) -> DecapsulationKey:
        """Return a key that is wrong in the way of ``fault``."""
        if self.fault == "another key":
            return KEM.private_key(algorithm, SEED)
        return Explicit(KEM.private_key(algorithm, seed), self.fault)

    def encapsulate(self, algorithm: KemAlgorithm, public: bytes) -> tuple[bytes, SecretBytes]:
        """Encapsulate wrongly in the way of ``fault``."""
        if self.fault == "no modulus check" and public[:2] == b"\xff\xff":
            return bytes(algorithm.ciphertext_size), SecretBytes(bytes(32))
        if self.fault == "refuses all":
            raise VerificationError
        ciphertext, secret = KEM.encapsulate(algorithm, public)
        return (
            (ciphertext, SecretBytes(bytes(32))) if self.fault == "half" else (ciphertext, secret)
        )


def registry_of(*, signing: SigningProvider = SIGNING, kem: KemProvider = KEM) -> Registry:
    odd = Provider("odd", "1", signing, kem)
    return Registry.of({"odd": lambda: odd})


def absent() -> Provider:
    raise UnsupportedError("is not installed (extra `odd`)")


def test_the_default_provider_is_admitted_to_everything() -> None:
    registry = open_registry()

    assert registry.refusals == ()
    assert len(registry.verdicts) == 2 * len(Algorithm) + 2 * len(KemAlgorithm)
    assert registry.check() == registry.verdicts


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize(
    ("fault", "operation", "reason"),
    [
        ("another key", Operation.SIGN, "derives another public key from a seed"),
        ("no context", Operation.SIGN, "signs what does not verify"),
        ("lenient", Operation.VERIFY, "verifies another message"),
        ("deaf", Operation.VERIFY, "verifies another context"),
        ("sloppy", Operation.VERIFY, "verifies a changed signature"),
    ],
)
def test_a_provider_that_signs_or_verifies_wrongly_is_refused(
    algorithm: Algorithm, fault: str, operation: Operation, reason: str
) -> None:
    registry = registry_of(signing=OddSigning(fault))

    with pytest.raises(ProviderRefusedError) as refused:
        registry.signing(algorithm, operation, provider="odd")

    assert refused.value.reason == reason
    assert {v.operation for v in registry.refusals} == {operation}


@pytest.mark.parametrize("algorithm", KemAlgorithm)
@pytest.mark.parametrize(
    ("fault", "operation", "reason"),
    [
        ("another key", Operation.DECAPSULATE, "derives another public key from a seed"),
        ("wrong secret", Operation.DECAPSULATE, "opens to another secret"),
        ("implicit", Operation.DECAPSULATE, "does not reject implicitly as FIPS 203 says"),
        ("explicit", Operation.DECAPSULATE, "fails its known answers"),
        ("no modulus check", Operation.ENCAPSULATE, "does not check the modulus of a public key"),
        ("refuses all", Operation.ENCAPSULATE, "refuses a valid public key"),
        ("half", Operation.ENCAPSULATE, "encapsulates what does not open"),
    ],
)
def test_a_provider_that_encapsulates_or_opens_wrongly_is_refused(
    algorithm: KemAlgorithm, fault: str, operation: Operation, reason: str
) -> None:
    registry = registry_of(kem=OddKem(fault))

    with pytest.raises(ProviderRefusedError) as refused:
        registry.kem(algorithm, operation, provider="odd")

    assert refused.value.reason == reason


def test_a_provider_that_is_not_installed_is_refused_for_that_reason() -> None:
    loaders: Mapping[str, Loader] = {**LOADERS, "odd": absent}
    registry = Registry.of(loaders)

    with pytest.raises(ProviderRefusedError, match=r"odd may not sign .* is not installed"):
        registry.signing(Algorithm.ML_DSA_65, Operation.SIGN, provider="odd")
    with pytest.raises(ConfigError, match="is not installed"):
        registry.kem(KemAlgorithm.ML_KEM_1024, Operation.DECAPSULATE, provider="odd")
    assert "odd" not in registry.providers


def test_without_the_extra_the_second_provider_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pqcrypto.sign", None)
    registry = open_registry(["cryptography", "pqcrypto"])

    assert {v.refusal for v in registry.refusals} == {"is not installed (extra `interop`)"}
    assert {v.provider for v in registry.refusals} == {"pqcrypto"}
    assert len(registry.refusals) == 2 * len(Algorithm) + 2 * len(KemAlgorithm)


def test_another_release_that_lacks_an_algorithm_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pqcrypto.kem", ModuleType("pqcrypto.kem"))

    with pytest.raises(UnsupportedError, match="lacks a parameter set"):
        load_pqcrypto()


def test_a_provider_nobody_knows_is_refused_with_those_there_are() -> None:
    registry = open_registry(["cryptography", "mystery"])

    with pytest.raises(ProviderRefusedError, match="cryptography, pqcrypto"):
        registry.signing(Algorithm.ML_DSA_65, Operation.SIGN, provider="mystery")


def test_a_provider_nobody_asks_for_is_not_loaded() -> None:
    registry = open_registry(["cryptography"])

    assert set(registry.providers) == {"cryptography"}


def test_the_second_provider_may_do_what_it_can() -> None:
    registry = open_registry(["cryptography", "pqcrypto"])

    admitted = {
        v.operation for v in registry.verdicts if v.provider == "pqcrypto" and v.is_admitted
    }

    assert admitted == {Operation.ENCAPSULATE}
    assert load_pqcrypto().version == registry.providers["pqcrypto"].version


def test_a_registry_cannot_be_changed() -> None:
    registry = open_registry()

    with pytest.raises(TypeError):
        registry.providers["odd"] = CRYPTOGRAPHY  # type: ignore[index]
    with pytest.raises(AttributeError):
        registry.verdicts = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        replace(CRYPTOGRAPHY).name = "odd"  # type: ignore[misc]
