"""Both implementations by the same vectors: each agrees with the other, or is kept out."""

import pytest

from svc_core.crypto.kem import KemAlgorithm, KemKey, encapsulate
from svc_core.crypto.known_answers import read_known_answers
from svc_core.crypto.provider_cryptography import CRYPTOGRAPHY
from svc_core.crypto.provider_pqcrypto import load_pqcrypto
from svc_core.crypto.providers import Operation, Provider
from svc_core.crypto.registry import Registry, open_registry
from svc_core.crypto.signing import NO_CONTEXT, Algorithm, NoContext, Signer, Verifier
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import ProviderRefusedError, VerificationError
from tests.vectors.crypto.published import evenly, octets, read_cases

PROVIDERS = {"cryptography": CRYPTOGRAPHY, "pqcrypto": load_pqcrypto()}
REGISTRY: Registry = open_registry(PROVIDERS)
SEED = SecretBytes(bytes(range(32)))
CONTEXTS: list[bytes | NoContext] = [
    NO_CONTEXT,
    *(bytes(range(size)) for size in (1, 100, 253, 254, 255)),
]

every_provider = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
every_algorithm = pytest.mark.parametrize("algorithm", Algorithm)
every_kem = pytest.mark.parametrize("algorithm", KemAlgorithm)


def verifies_published_signatures(provider: Provider, algorithm: Algorithm) -> bool:
    level = algorithm.value.removeprefix("ML-DSA-")
    try:
        for case in read_cases(f"asymmetric/MLDSA/kat_MLDSA_{level}_det_pure.rsp"):
            public = octets(case, "pk")
            Verifier.from_public(algorithm, public, provider=provider.signing).verify(
                octets(case, "sm")[: algorithm.signature_size],
                octets(case, "msg"),
                context=octets(case, "ctx"),
            )
    except VerificationError:
        return False
    return True


def agrees(provider: Provider, algorithm: Algorithm, context: bytes | NoContext) -> bool:
    """Say whether ``provider`` verifies what the default signs under ``context``."""
    signer = Signer.from_seed(algorithm, SEED)
    signature = signer.sign(b"message", context=context)
    verifier = Verifier.from_public(algorithm, signer.public, provider=provider.signing)
    try:
        verifier.verify(signature, b"message", context=context)
    except VerificationError:
        return False
    return True


@every_provider
@every_algorithm
def test_published_signatures_verify(provider: Provider, algorithm: Algorithm) -> None:
    assert verifies_published_signatures(provider, algorithm)


@every_provider
@every_algorithm
def test_who_verifies_under_every_context_is_admitted_and_no_other(
    provider: Provider, algorithm: Algorithm
) -> None:
    conforms = all(agrees(provider, algorithm, context) for context in CONTEXTS)

    (verdict,) = [
        v
        for v in REGISTRY.verdicts
        if (v.provider, v.algorithm, v.operation) == (provider.name, algorithm, Operation.VERIFY)
    ]

    assert verdict.is_admitted == conforms
    assert conforms == (provider.name == "cryptography")


@every_algorithm
def test_a_refusal_says_why(algorithm: Algorithm) -> None:
    with pytest.raises(ProviderRefusedError, match="under a context of 255 bytes"):
        REGISTRY.signing(algorithm, Operation.VERIFY, provider="pqcrypto")


@every_algorithm
def test_the_second_implementation_agrees_under_the_contexts_we_use(algorithm: Algorithm) -> None:
    assert all(agrees(PROVIDERS["pqcrypto"], algorithm, context) for context in CONTEXTS[:4])


@every_algorithm
@every_provider
def test_who_cannot_sign_from_a_seed_is_not_asked_to(
    provider: Provider, algorithm: Algorithm
) -> None:
    if provider.name == "cryptography":
        REGISTRY.signing(algorithm, Operation.SIGN, provider=provider.name)
        return

    with pytest.raises(ProviderRefusedError, match="cannot import a private key from its seed"):
        REGISTRY.signing(algorithm, Operation.SIGN, provider=provider.name)


@every_kem
@every_provider
def test_what_every_provider_encapsulates_the_published_keys_open(
    provider: Provider, algorithm: KemAlgorithm
) -> None:
    admitted = REGISTRY.kem(algorithm, Operation.ENCAPSULATE, provider=provider.name)
    level = algorithm.value.removeprefix("ML-KEM-")
    cases = list(read_cases(f"asymmetric/MLKEM/kat_MLKEM_{level}.rsp"))

    for case in evenly(cases, 20):
        key = KemKey.from_seed(
            SecretBytes(octets(case, "d") + octets(case, "z")), algorithm=algorithm
        )
        ciphertext, secret = encapsulate(octets(case, "pk"), algorithm=algorithm, provider=admitted)

        assert key.decapsulate(ciphertext).reveal() == secret.reveal()


@every_kem
@every_provider
def test_every_provider_refuses_public_keys_that_are_none(
    provider: Provider, algorithm: KemAlgorithm
) -> None:
    for public in (b"", bytes(algorithm.public_size - 1), b"\xff" * algorithm.public_size):
        with pytest.raises(VerificationError):
            encapsulate(public, algorithm=algorithm, provider=provider.kem)


@every_provider
def test_the_pinned_answers_hold_for_every_provider(provider: Provider) -> None:
    """Apart from the longest context, which one of them refuses."""
    checked = 0
    for answer in read_known_answers().signing:
        verifier = Verifier.from_public(answer.algorithm, answer.public, provider=provider.signing)
        for signed in answer.signed:
            if len(signed.context) < 254 or provider.name == "cryptography":
                verifier.verify(signed.signature, signed.message, context=signed.context)
                checked += 1
    assert checked == {"cryptography": 6, "pqcrypto": 3}[provider.name]
