"""AES-256-GCM against NIST's validation vectors."""

import pytest

from svc_core.crypto import aead
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.vectors.crypto.published import Case, octets, read_cases

TAG_BITS = str(aead.TAG_SIZE * 8)
UNUSUAL = [0, 1, 7, 129, 200]
KEY = SecretBytes(bytes(range(32)))


def cases_of(name: str) -> list[Case]:
    """Return the cases with a whole tag and a nonce of 12 or 128 bytes; we make no others."""
    cases = read_cases(f"ciphers/AES/GCM/{name}.rsp")
    return [c for c in cases if c["Taglen"] == TAG_BITS and c["IVlen"] != "8"]


class Huge(bytes):
    """Says it is longer than it is, so that no test needs two gibibytes."""

    def __len__(self) -> int:
        return 2**31


def test_encryption_gives_the_published_answers() -> None:
    cases = cases_of("gcmEncryptExtIV256")
    for case in cases:
        encrypted = aead.encrypt(
            SecretBytes(octets(case, "Key")),
            octets(case, "PT"),
            nonce=octets(case, "IV"),
            aad=octets(case, "AAD"),
        )

        assert encrypted == octets(case, "CT") + octets(case, "Tag")
    assert {case["IVlen"] for case in cases} == {"96", "1024"}
    assert len(cases) == 750


def test_decryption_gives_the_published_answers_and_failures() -> None:
    cases = cases_of("gcmDecrypt256")
    failed = 0
    for case in cases:
        try:
            plaintext = aead.decrypt(
                SecretBytes(octets(case, "Key")),
                octets(case, "CT") + octets(case, "Tag"),
                nonce=octets(case, "IV"),
                aad=octets(case, "AAD"),
            )
        except VerificationError:
            failed += 1
            assert "FAIL" in case
        else:
            assert "FAIL" not in case
            assert plaintext == octets(case, "PT")
    assert failed == sum("FAIL" in case for case in cases) > 300


@pytest.mark.parametrize("size", UNUSUAL)
def test_a_nonce_we_cannot_use_is_our_mistake_or_a_failed_check(size: int) -> None:
    with pytest.raises(ValueError, match="nonce"):
        aead.encrypt(KEY, b"", nonce=bytes(size), aad=b"")
    with pytest.raises(VerificationError):
        aead.decrypt(KEY, bytes(32), nonce=bytes(size), aad=b"")


@pytest.mark.parametrize("size", [8, 12, 16, 128])
def test_nonces_of_other_sizes_work(size: int) -> None:
    encrypted = aead.encrypt(KEY, b"", nonce=bytes(size), aad=b"aad")

    assert len(encrypted) == aead.TAG_SIZE
    assert aead.decrypt(KEY, encrypted, nonce=bytes(size), aad=b"aad") == b""


@pytest.mark.parametrize("size", [0, 1, 15])
def test_what_is_shorter_than_a_tag_fails_the_check(size: int) -> None:
    with pytest.raises(VerificationError):
        aead.decrypt(KEY, bytes(size), nonce=bytes(12), aad=b"")


@pytest.mark.parametrize("kept", range(4, 16))
def test_a_shortened_tag_fails_the_check(kept: int) -> None:
    encrypted = aead.encrypt(KEY, b"plaintext", nonce=bytes(12), aad=b"")
    cut = encrypted[: len(encrypted) - aead.TAG_SIZE + kept]

    with pytest.raises(VerificationError):
        aead.decrypt(KEY, cut, nonce=bytes(12), aad=b"")


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_key_of_another_size_is_our_mistake(size: int) -> None:
    key = SecretBytes(bytes(size))

    with pytest.raises(ValueError, match="32 bytes"):
        aead.encrypt(key, b"", nonce=bytes(12), aad=b"")
    with pytest.raises(ValueError, match="32 bytes"):
        aead.decrypt(key, bytes(16), nonce=bytes(12), aad=b"")


@pytest.mark.parametrize(("text", "aad"), [(Huge(), b""), (b"", Huge())], ids=["text", "aad"])
def test_two_gibibytes_are_too_many(text: bytes, aad: bytes) -> None:
    with pytest.raises(ValueError, match="at most"):
        aead.encrypt(KEY, text, nonce=bytes(12), aad=aad)
    with pytest.raises(VerificationError):
        aead.decrypt(KEY, text or bytes(16), nonce=bytes(12), aad=aad)
