"""Sealing: a round trip, and everything that is bound to the result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_core.crypto import contexts
from svc_core.crypto.kdf import labelled_info
from svc_core.crypto.sealing import seal, unseal
from svc_core.domain.sealed import Sealed
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.builders import fixed_bytes, seeded_entropy

SECRET = SecretBytes(fixed_bytes("topic key"))
INFO = labelled_info(contexts.SEAL_MESSAGE, b"topic", b"key-1")


@given(plaintext=st.binary(max_size=2000), aad=st.binary(max_size=100))
def test_what_is_sealed_unseals(plaintext: bytes, aad: bytes) -> None:
    sealed = seal(SECRET, plaintext, info=INFO, aad=aad, entropy=seeded_entropy())

    assert unseal(SECRET, sealed, info=INFO, aad=aad) == plaintext


def spoiled(raw: bytes) -> bytes:
    """Return ``raw`` with one bit flipped."""
    return bytes([raw[0] ^ 1]) + raw[1:]


@pytest.mark.parametrize("part", ["salt", "iv", "tag", "ciphertext"])
def test_a_flipped_bit_in_any_part_is_refused(part: str) -> None:
    sealed = seal(SECRET, b"plaintext", info=INFO, aad=b"aad", entropy=seeded_entropy())
    parts = {name: getattr(sealed, name) for name in ("salt", "iv", "tag", "ciphertext")}
    changed = Sealed(**parts | {part: spoiled(parts[part])})

    with pytest.raises(VerificationError):
        unseal(SECRET, changed, info=INFO, aad=b"aad")


@pytest.mark.parametrize(
    ("secret", "info", "aad"),
    [
        pytest.param(SecretBytes(bytes(32)), INFO, b"aad", id="another secret"),
        pytest.param(SECRET, INFO + b"x", b"aad", id="another info"),
        pytest.param(SECRET, INFO, b"", id="another header"),
    ],
)
def test_it_unseals_only_where_it_belongs(secret: SecretBytes, info: bytes, aad: bytes) -> None:
    sealed = seal(SECRET, b"plaintext", info=INFO, aad=b"aad", entropy=seeded_entropy())

    with pytest.raises(VerificationError):
        unseal(secret, sealed, info=info, aad=aad)


def test_the_same_plaintext_never_seals_to_the_same_bytes() -> None:
    entropy = seeded_entropy()

    first = seal(SECRET, b"plaintext", info=INFO, aad=b"", entropy=entropy)
    second = seal(SECRET, b"plaintext", info=INFO, aad=b"", entropy=entropy)

    assert {first.salt, first.iv, first.ciphertext}.isdisjoint(
        {second.salt, second.iv, second.ciphertext}
    )


def test_a_secret_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal(SecretBytes(b"short"), b"", info=INFO, aad=b"", entropy=seeded_entropy())


@pytest.mark.parametrize("part", ["salt", "iv", "tag"])
@pytest.mark.parametrize("size", [0, 8, 15, 200])
def test_parts_of_the_wrong_size_do_not_unseal(part: str, size: int) -> None:
    sealed = seal(SECRET, b"plaintext", info=INFO, aad=b"aad", entropy=seeded_entropy())

    with pytest.raises(VerificationError):
        unseal(SECRET, sealed._replace(**{part: bytes(size)}), info=INFO, aad=b"aad")


def test_where_the_tag_begins_is_not_the_senders_choice() -> None:
    sealed = seal(SECRET, b"plaintext", info=INFO, aad=b"aad", entropy=seeded_entropy())
    moved = sealed._replace(tag=sealed.tag[1:], ciphertext=sealed.ciphertext + sealed.tag[:1])

    with pytest.raises(VerificationError):
        unseal(SECRET, moved, info=INFO, aad=b"aad")


@given(
    st.lists(st.binary(max_size=6), min_size=1, max_size=4),
    st.lists(st.binary(max_size=6), min_size=1, max_size=4),
)
def test_different_parts_give_different_info(one: list[bytes], other: list[bytes]) -> None:
    assert (labelled_info(*one) == labelled_info(*other)) == (one == other)
