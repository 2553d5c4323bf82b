"""ML-KEM-1024: known answers, a second implementation, and damaged inputs."""

from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from pqcrypto.kem import ml_kem_1024  # type: ignore[import-untyped]

from svc_core.crypto.kem import CIPHERTEXT_SIZE, PUBLIC_SIZE, KemKey, encapsulate
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.builders import fixed_bytes

SEED = SecretBytes(fixed_bytes("kem seed", 64))


def known_answers() -> Iterator[dict[str, bytes]]:
    """Yield the cases of the response file that comes with cryptography."""
    root = Path(cryptography_vectors.__file__).parent
    text = (root / "asymmetric/MLKEM/kat_MLKEM_1024.rsp").read_text()
    for block in text.split("count = "):
        case = dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line)
        if "ct" in case:
            yield {k: bytes.fromhex(case[k]) for k in ("d", "z", "pk", "ct", "ss")}


def test_known_answers_hold() -> None:
    cases = list(known_answers())
    for case in cases:
        key = KemKey.from_seed(SecretBytes(case["d"] + case["z"]))

        assert key.public == case["pk"]
        assert key.decapsulate(case["ct"]).reveal() == case["ss"]
    assert len(cases) > 10


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
