"""ML-KEM against the known answers of FIPS 203."""

import hashlib
from functools import cache

import pytest

from svc_core.crypto.kem import KemAlgorithm, KemKey, encapsulate
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.vectors.crypto.published import Case, evenly, octets, read_cases

SAMPLE = 200
MODULUS = 3329


@cache
def cases_of(algorithm: KemAlgorithm) -> list[Case]:
    level = algorithm.value.removeprefix("ML-KEM-")
    return evenly(list(read_cases(f"asymmetric/MLKEM/kat_MLKEM_{level}.rsp")), SAMPLE)


def key_of(algorithm: KemAlgorithm, case: Case) -> KemKey:
    seed = SecretBytes(octets(case, "d") + octets(case, "z"))
    return KemKey.from_seed(seed, algorithm=algorithm)


@pytest.mark.parametrize("algorithm", KemAlgorithm)
def test_known_answers_hold(algorithm: KemAlgorithm) -> None:
    cases = cases_of(algorithm)
    for case in cases:
        key = key_of(algorithm, case)

        assert key.public == octets(case, "pk")
        assert key.decapsulate(octets(case, "ct")).reveal() == octets(case, "ss")
    assert len(cases) == SAMPLE


@pytest.mark.parametrize("algorithm", KemAlgorithm)
def test_a_ciphertext_of_someone_else_is_rejected_implicitly(algorithm: KemAlgorithm) -> None:
    for case in cases_of(algorithm):
        assert key_of(algorithm, case).decapsulate(octets(case, "ct_n")).reveal() == octets(
            case, "ss_n"
        )


@pytest.mark.parametrize("algorithm", KemAlgorithm)
@pytest.mark.parametrize("place", [0, 500, -1], ids=["first", "middle", "last"])
def test_a_changed_ciphertext_gives_the_secret_the_standard_says(
    algorithm: KemAlgorithm, place: int
) -> None:
    case = cases_of(algorithm)[0]
    changed = bytearray(octets(case, "ct"))
    changed[place] ^= 1

    secret = key_of(algorithm, case).decapsulate(bytes(changed))

    assert secret.reveal() == hashlib.shake_256(octets(case, "z") + changed).digest(32)


@pytest.mark.parametrize("algorithm", KemAlgorithm)
def test_published_public_keys_are_encapsulated_to(algorithm: KemAlgorithm) -> None:
    for case in cases_of(algorithm)[::10]:
        ciphertext, secret = encapsulate(octets(case, "pk"), algorithm=algorithm)

        assert key_of(algorithm, case).decapsulate(ciphertext).reveal() == secret.reveal()


@pytest.mark.parametrize("algorithm", KemAlgorithm)
@pytest.mark.parametrize("coefficient", [MODULUS, MODULUS + 1, 4095])
@pytest.mark.parametrize("is_last", [False, True], ids=["first", "last"])
def test_a_public_key_with_a_coefficient_out_of_range_is_refused(
    algorithm: KemAlgorithm, coefficient: int, is_last: bool
) -> None:
    """FIPS 203, section 7.2: the modulus check."""
    changed = bytearray(octets(cases_of(algorithm)[0], "pk"))
    last = algorithm.public_size - 32
    if is_last:
        changed[last - 2] = (changed[last - 2] & 0x0F) | (coefficient & 0x0F) << 4
        changed[last - 1] = coefficient >> 4
    else:
        changed[0] = coefficient & 0xFF
        changed[1] = (changed[1] & 0xF0) | coefficient >> 8

    with pytest.raises(VerificationError):
        encapsulate(bytes(changed), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", KemAlgorithm)
@pytest.mark.parametrize("surplus", [-1, 1])
def test_sizes_are_exact(algorithm: KemAlgorithm, surplus: int) -> None:
    case = cases_of(algorithm)[0]

    with pytest.raises(VerificationError):
        encapsulate(bytes(algorithm.public_size + surplus), algorithm=algorithm)
    with pytest.raises(VerificationError):
        key_of(algorithm, case).decapsulate(bytes(algorithm.ciphertext_size + surplus))
