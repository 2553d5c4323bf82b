"""ML-DSA: a second implementation, and what must not verify."""

import pytest
from pqcrypto.sign import ml_dsa_44, ml_dsa_65, ml_dsa_87  # type: ignore[import-untyped]

from svc_core.crypto import contexts
from svc_core.crypto.signing import NO_CONTEXT, Algorithm, Signer, Verifier
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError
from tests.builders import fixed_bytes

SECOND = {
    Algorithm.ML_DSA_44: ml_dsa_44,
    Algorithm.ML_DSA_65: ml_dsa_65,
    Algorithm.ML_DSA_87: ml_dsa_87,
}
CONTEXT = contexts.SIGNED_MESSAGE
SEED = SecretBytes(fixed_bytes("seed"))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_second_implementation_verifies_what_we_sign(algorithm: Algorithm) -> None:
    signer = Signer.from_seed(algorithm, SEED)

    signature = signer.sign(b"message", context=CONTEXT)

    SECOND[algorithm].verify(signer.public, b"message", signature, context=CONTEXT)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_we_verify_what_a_second_implementation_signs(algorithm: Algorithm) -> None:
    public, private = SECOND[algorithm].keygen()

    signature = SECOND[algorithm].sign(private, b"message", context=CONTEXT)

    Verifier.from_public(algorithm, public).verify(signature, b"message", context=CONTEXT)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_sizes_are_the_standards(algorithm: Algorithm) -> None:
    signer = Signer.from_seed(algorithm, SEED)

    assert len(signer.public) == algorithm.public_size
    assert len(signer.sign(b"", context=CONTEXT)) == algorithm.signature_size


@pytest.mark.parametrize(
    ("message", "context", "spoil"),
    [
        pytest.param(b"other", CONTEXT, 0, id="another message"),
        pytest.param(b"message", contexts.BUNDLE_REQUEST, 0, id="another context"),
        pytest.param(b"message", CONTEXT, 1, id="a flipped bit"),
    ],
)
def test_what_was_not_signed_does_not_verify(message: bytes, context: bytes, spoil: int) -> None:
    signer = Signer.from_seed(Algorithm.ML_DSA_44, SEED)
    verifier = Verifier.from_public(signer.algorithm, signer.public)
    signature = signer.sign(b"message", context=CONTEXT)
    spoiled = bytes([signature[0] ^ spoil]) + signature[1:]

    with pytest.raises(VerificationError):
        verifier.verify(spoiled, message, context=context)


@pytest.mark.parametrize("size", [0, 1, 2419, 2421, 5000])
def test_a_signature_of_the_wrong_size_does_not_verify(size: int) -> None:
    signer = Signer.from_seed(Algorithm.ML_DSA_44, SEED)
    verifier = Verifier.from_public(signer.algorithm, signer.public)

    with pytest.raises(VerificationError):
        verifier.verify(bytes(size), b"message", context=CONTEXT)


def test_keys_of_the_wrong_size_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer.from_seed(Algorithm.ML_DSA_65, SecretBytes(b"short"))
    with pytest.raises(ValueError, match="1952 bytes"):
        Verifier.from_public(Algorithm.ML_DSA_65, b"short")


@pytest.mark.parametrize("size", [0, 256, 1000])
def test_a_context_has_1_to_255_bytes(size: int) -> None:
    signer = Signer.from_seed(Algorithm.ML_DSA_44, SEED)
    verifier = Verifier.from_public(signer.algorithm, signer.public)

    with pytest.raises(ValueError, match="context of 1 to 255 bytes"):
        signer.sign(b"message", context=bytes(size))
    with pytest.raises(ValueError, match="context of 1 to 255 bytes"):
        verifier.verify(bytes(2420), b"message", context=bytes(size))


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_empty_context_has_to_be_named(algorithm: Algorithm) -> None:
    signer = Signer.from_seed(algorithm, SEED)

    signature = signer.sign(b"message", context=NO_CONTEXT)

    Verifier.from_public(algorithm, signer.public).verify(signature, b"message", context=NO_CONTEXT)
    SECOND[algorithm].verify(signer.public, b"message", signature, context=None)


def test_contexts_and_labels_are_all_different_and_short() -> None:
    values = [v for k, v in vars(contexts).items() if k.isupper()]

    assert len(set(values)) == len(values) > 8
    assert all(0 < len(v) <= 253 for v in values)
