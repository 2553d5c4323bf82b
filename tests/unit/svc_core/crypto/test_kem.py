"""ML-KEM: a second implementation, and damaged inputs."""

import pytest
from pqcrypto.kem import ml_kem_1024  # type: ignore[import-untyped]

from svc_core.crypto.kem import CIPHERTEXT_SIZE, PUBLIC_SIZE, KemAlgorithm, KemKey, encapsulate
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.builders import fixed_bytes

SEED = SecretBytes(fixed_bytes("kem seed", 64))


def test_both_sides_get_the_same_secret() -> None:
    key = KemKey.from_seed(SEED)

    ciphertext, secret = encapsulate(key.public)

    assert key.decapsulate(ciphertext).reveal() == secret.reveal()
    assert (len(key.public), len(ciphertext), len(secret)) == (PUBLIC_SIZE, CIPHERTEXT_SIZE, 32)


def test_we_open_what_a_second_implementation_encapsulates() -> None:
    key = KemKey.from_seed(SEED)

    ciphertext, secret = ml_kem_1024.encaps(key.public)

    assert key.decapsulate(ciphertext).reveal() == secret


def test_a_second_implementation_opens_what_we_encapsulate() -> None:
    public, private = ml_kem_1024.keygen()

    ciphertext, secret = encapsulate(public)

    assert ml_kem_1024.decaps(private, ciphertext) == secret.reveal()


def test_a_foreign_ciphertext_gives_another_secret() -> None:
    ciphertext, secret = encapsulate(KemKey.from_seed(SEED).public)
    other = KemKey.from_seed(SecretBytes(bytes(64)))

    assert other.decapsulate(ciphertext).reveal() != secret.reveal()


@pytest.mark.parametrize("public", [b"", bytes(1567), b"\xff" * 1568], ids=["none", "cut", "range"])
def test_a_public_key_that_is_none_is_refused(public: bytes) -> None:
    with pytest.raises(VerificationError):
        encapsulate(public)


def test_a_ciphertext_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(VerificationError):
        KemKey.from_seed(SEED).decapsulate(bytes(1567))


def test_a_seed_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        KemKey.from_seed(SecretBytes(bytes(32)))


def test_a_public_key_of_another_parameter_set_is_refused() -> None:
    key = KemKey.from_seed(SEED, algorithm=KemAlgorithm.ML_KEM_768)

    with pytest.raises(VerificationError):
        encapsulate(key.public)


@pytest.mark.parametrize("algorithm", KemAlgorithm)
def test_sizes_are_the_standards(algorithm: KemAlgorithm) -> None:
    key = KemKey.from_seed(SEED, algorithm=algorithm)

    ciphertext, secret = encapsulate(key.public, algorithm=algorithm)

    assert len(key.public) == algorithm.public_size
    assert len(ciphertext) == algorithm.ciphertext_size
    assert len(secret) == 32
