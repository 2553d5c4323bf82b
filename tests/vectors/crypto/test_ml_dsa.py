"""ML-DSA against the known answers of FIPS 204, pure mode."""

from functools import cache

import pytest

from svc_core.crypto.signing import NO_CONTEXT, Algorithm, Signer, Verifier
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.vectors.crypto.published import Case, octets, read_cases

HINT_POLYNOMIALS = {Algorithm.ML_DSA_44: 4, Algorithm.ML_DSA_65: 6, Algorithm.ML_DSA_87: 8}
HINT_WEIGHT = {Algorithm.ML_DSA_44: 80, Algorithm.ML_DSA_65: 55, Algorithm.ML_DSA_87: 75}


@cache
def cases_of(algorithm: Algorithm) -> list[Case]:
    level = algorithm.value.removeprefix("ML-DSA-")
    return list(read_cases(f"asymmetric/MLDSA/kat_MLDSA_{level}_det_pure.rsp"))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_seeds_give_the_published_public_keys(algorithm: Algorithm) -> None:
    cases = cases_of(algorithm)

    made = [Signer.from_seed(algorithm, SecretBytes(octets(c, "xi"))).public for c in cases]

    assert made == [octets(c, "pk") for c in cases]
    assert len(cases) == 100


@pytest.mark.parametrize("algorithm", Algorithm)
def test_published_signatures_verify(algorithm: Algorithm) -> None:
    for case in cases_of(algorithm):
        signature = octets(case, "sm")[: algorithm.signature_size]

        Verifier.from_public(algorithm, octets(case, "pk")).verify(
            signature, octets(case, "msg"), context=octets(case, "ctx")
        )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_our_signatures_verify_under_the_published_keys(algorithm: Algorithm) -> None:
    for case in cases_of(algorithm)[::5]:
        signer = Signer.from_seed(algorithm, SecretBytes(octets(case, "xi")))
        signature = signer.sign(octets(case, "msg"), context=octets(case, "ctx"))

        Verifier.from_public(algorithm, octets(case, "pk")).verify(
            signature, octets(case, "msg"), context=octets(case, "ctx")
        )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_published_signature_verifies_under_no_other_context(algorithm: Algorithm) -> None:
    case = cases_of(algorithm)[0]
    verifier = Verifier.from_public(algorithm, octets(case, "pk"))
    signature = octets(case, "sm")[: algorithm.signature_size]
    context = octets(case, "ctx")

    for other in (NO_CONTEXT, context[:-1], context + b"\0", b"\0" * 255):
        with pytest.raises(VerificationError):
            verifier.verify(signature, octets(case, "msg"), context=other)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_signature_in_another_encoding_does_not_verify(algorithm: Algorithm) -> None:
    """FIPS 204, algorithm 21: hint positions ascend, and unused ones are zero."""
    case = cases_of(algorithm)[0]
    verifier = Verifier.from_public(algorithm, octets(case, "pk"))
    signature = octets(case, "sm")[: algorithm.signature_size]
    hints = algorithm.signature_size - HINT_WEIGHT[algorithm] - HINT_POLYNOMIALS[algorithm]
    counts = signature[-HINT_POLYNOMIALS[algorithm] :]
    assert counts[0] >= 2
    assert counts[-1] < HINT_WEIGHT[algorithm]
    swapped = bytearray(signature)
    swapped[hints], swapped[hints + 1] = signature[hints + 1], signature[hints]
    doubled = bytearray(signature)
    doubled[hints + 1] = signature[hints]
    padded = bytearray(signature)
    padded[hints + counts[-1]] = 1
    too_many = bytearray(signature)
    too_many[-1] = HINT_WEIGHT[algorithm] + 1

    for changed in (swapped, doubled, padded, too_many):
        with pytest.raises(VerificationError):
            verifier.verify(bytes(changed), octets(case, "msg"), context=octets(case, "ctx"))


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("size", [1, 32, 253, 254, 255])
def test_contexts_of_every_size_work(algorithm: Algorithm, size: int) -> None:
    signer = Signer.from_seed(algorithm, SecretBytes(bytes(32)))
    context = bytes(range(size))
    signature = signer.sign(b"", context=context)
    verifier = Verifier.from_public(algorithm, signer.public)

    verifier.verify(signature, b"", context=context)
    with pytest.raises(VerificationError):
        verifier.verify(signature, b"", context=context[:-1] or NO_CONTEXT)
