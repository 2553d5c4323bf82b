"""Argon2id against RFC 9106 and the reference program."""

import pytest

from svc_core.crypto.argon2 import Argon2Cost, derive_argon2id
from svc_core.crypto.passwords import verify_password
from svc_core.domain.secrets import SecretBytes
from tests.vectors.crypto.published import octets, read_cases

CHEAP = Argon2Cost(memory_kib=8, iterations=1, lanes=1)


def test_the_answers_hold() -> None:
    cases = list(read_cases("KDF/argon2id.txt"))

    derived = [
        derive_argon2id(
            SecretBytes(octets(case, "pass")),
            salt=octets(case, "salt"),
            cost=Argon2Cost(int(case["memcost"]), int(case["iter"]), int(case["lanes"])),
            size=int(case["length"]),
            pepper=SecretBytes(octets(case, "secret")),
            associated=octets(case, "ad"),
        ).reveal()
        for case in cases
    ]

    assert derived == [octets(case, "output") for case in cases]
    assert len(cases) == 6


def test_the_password_format_holds_the_derived_bytes() -> None:
    """The hash is the reference implementation's: 3 iterations, 64 MiB, 1 lane, 32 bytes."""
    text = "c2l4dGVlbiBieXRlcyAhIQ==:ZKhgHTctXBLswFqmHUa9K/QM6Nd7G1dw/5ThvD7u2Bw="

    verify_password(text, SecretBytes(b"secretuser7"))


@pytest.mark.parametrize(
    ("memory_kib", "iterations", "lanes"),
    [
        pytest.param(7, 1, 1, id="too little memory"),
        pytest.param(31, 1, 4, id="too little for four lanes"),
        pytest.param(1 << 32, 1, 1, id="too much memory"),
        pytest.param(8, 0, 1, id="no iteration"),
        pytest.param(8, 1 << 32, 1, id="too many iterations"),
        pytest.param(8, 1, 0, id="no lane"),
        pytest.param(1 << 31, 1, 1 << 24, id="too many lanes"),
    ],
)
def test_a_cost_out_of_range_cannot_be_made(memory_kib: int, iterations: int, lanes: int) -> None:
    with pytest.raises(ValueError, match="Argon2id needs"):
        Argon2Cost(memory_kib, iterations, lanes)


def test_a_short_salt_is_refused() -> None:
    with pytest.raises(ValueError, match="salt"):
        derive_argon2id(SecretBytes(b""), salt=bytes(7), cost=CHEAP)


@pytest.mark.parametrize("size", [-1, 0, 3, 1 << 32])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="derives"):
        derive_argon2id(SecretBytes(b""), salt=bytes(8), cost=CHEAP, size=size)
