"""HKDF-SHA256 against RFC 5869, and at its limits."""

import hmac

import pytest

from svc_core.crypto.kdf import MAX_DERIVED_SIZE, derive_key
from svc_core.domain.secrets import SecretBytes
from tests.vectors.crypto.published import octets, read_cases


def expanded(key: bytes, *, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF as RFC 5869 writes it, with the standard library."""
    pseudorandom = hmac.digest(salt or bytes(32), key, "sha256")
    block, made = b"", b""
    while len(made) < size:
        block = hmac.digest(pseudorandom, block + info + bytes([len(made) // 32 + 1]), "sha256")
        made += block
    return made[:size]


def test_the_answers_of_the_rfc_hold() -> None:
    cases = list(read_cases("KDF/rfc-5869-HKDF-SHA256.txt"))

    derived = [
        derive_key(
            SecretBytes(octets(case, "IKM")),
            salt=octets(case, "salt"),
            info=octets(case, "info"),
            size=int(case["L"]),
        ).reveal()
        for case in cases
    ]

    assert derived == [octets(case, "OKM") for case in cases]
    assert [(octets(c, "salt"), octets(c, "info")) for c in cases].count((b"", b"")) == 1
    assert len(cases) == 3


@pytest.mark.parametrize("size", [1, 31, 32, 33, 64, 8159, MAX_DERIVED_SIZE])
@pytest.mark.parametrize("salt", [b"", b"salt", bytes(100)], ids=["no salt", "short", "long"])
@pytest.mark.parametrize("info", [b"", b"info" * 100], ids=["no info", "long"])
def test_every_size_is_derived_as_the_rfc_writes_it(size: int, salt: bytes, info: bytes) -> None:
    key = bytes(range(40))

    derived = derive_key(SecretBytes(key), salt=salt, info=info, size=size)

    assert derived.reveal() == expanded(key, salt=salt, info=info, size=size)


@pytest.mark.parametrize("size", [-1, 0, MAX_DERIVED_SIZE + 1])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 8160 bytes"):
        derive_key(SecretBytes(bytes(32)), salt=b"", info=b"", size=size)
