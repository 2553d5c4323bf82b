"""Algorithms and providers are swapped by a value, and two are accepted during a migration."""

import pytest

from svc_core.crypto import contexts
from svc_core.crypto.kem import KemAlgorithm
from svc_core.crypto.policy import AcceptedAlgorithms, CryptoPolicy, ProviderChoice
from svc_core.crypto.providers import Operation
from svc_core.crypto.signing import Algorithm
from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import (
    AlgorithmRefusedError,
    Disposition,
    ProviderRefusedError,
    VerificationError,
)
from tests.builders import fixed_bytes

SEED = SecretBytes(fixed_bytes("signing"))
KEM_SEED = SecretBytes(fixed_bytes("kem", 64))
CONTEXT = contexts.SIGNED_MESSAGE
DEFAULT = CryptoSuite.of(CryptoPolicy())
OLD, NEW = Algorithm.ML_DSA_65, Algorithm.ML_DSA_87


def suite_with(algorithms: AcceptedAlgorithms[Algorithm]) -> CryptoSuite:
    return CryptoSuite.of(CryptoPolicy(messages=algorithms))


def test_the_default_uses_65_for_messages_and_87_for_identities() -> None:
    assert DEFAULT.messages.signer(SEED).algorithm == Algorithm.ML_DSA_65
    assert DEFAULT.identities.signer(SEED).algorithm == Algorithm.ML_DSA_87
    assert DEFAULT.exchange.key(KEM_SEED).algorithm == KemAlgorithm.ML_KEM_1024


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_is_signed_with_is_accepted(algorithm: Algorithm) -> None:
    suite = suite_with(AcceptedAlgorithms(algorithm)).messages
    signer = suite.signer(SEED)

    suite.verifier(algorithm.value, signer.public).verify(
        signer.sign(b"message", context=CONTEXT), b"message", context=CONTEXT
    )


def test_a_migration_needs_no_moment_at_which_all_change() -> None:
    before, both, after, done = (
        suite_with(AcceptedAlgorithms.of(*steps)).messages
        for steps in ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,))
    )

    for maker, reader in [(before, both), (both, before), (both, after), (after, both)]:
        signer = maker.signer(SEED)
        reader.verifier(signer.algorithm, signer.public)
    for maker, reader in [(after, done), (done, after)]:
        signer = maker.signer(SEED)
        reader.verifier(signer.algorithm, signer.public)

    with pytest.raises(AlgorithmRefusedError):
        done.verifier(OLD, before.signer(SEED).public)
    with pytest.raises(AlgorithmRefusedError):
        before.verifier(NEW, done.signer(SEED).public)


@pytest.mark.parametrize("name", ["", "ML-DSA-44", "ml-dsa-65", "RSA", "ML-KEM-1024", "x" * 500])
def test_no_other_name_is_accepted(name: str) -> None:
    with pytest.raises(AlgorithmRefusedError) as refused:
        DEFAULT.messages.verifier(name, b"")

    assert refused.value.disposition is Disposition.REJECT
    assert len(str(refused.value)) < 100


def test_a_key_of_ours_keeps_its_own_algorithm() -> None:
    suite = suite_with(AcceptedAlgorithms.of(NEW, OLD)).messages

    assert suite.signer(SEED, algorithm=OLD).algorithm == OLD
    assert suite.signer(SEED).algorithm == NEW
    with pytest.raises(AlgorithmRefusedError):
        suite.signer(SEED, algorithm=Algorithm.ML_DSA_44)


def test_a_public_key_says_by_its_size_what_it_is_of() -> None:
    policy = CryptoPolicy(
        exchange=AcceptedAlgorithms.of(KemAlgorithm.ML_KEM_1024, KemAlgorithm.ML_KEM_768)
    )
    both = CryptoSuite.of(policy).exchange
    small = CryptoSuite.of(
        CryptoPolicy(exchange=AcceptedAlgorithms(KemAlgorithm.ML_KEM_768))
    ).exchange

    for key in (both.key(KEM_SEED), small.key(KEM_SEED)):
        ciphertext, secret = both.encapsulate(key.public)
        assert key.decapsulate(ciphertext).reveal() == secret.reveal()
    with pytest.raises(VerificationError):
        small.encapsulate(both.key(KEM_SEED).public)
    with pytest.raises(VerificationError):
        both.encapsulate(b"")


def test_a_provider_is_swapped_by_a_setting() -> None:
    suite = CryptoSuite.of(CryptoPolicy(providers=ProviderChoice(encapsulate="pqcrypto")))

    ciphertext, secret = suite.exchange.encapsulate(DEFAULT.exchange.key(KEM_SEED).public)

    opened = DEFAULT.exchange.key(KEM_SEED).decapsulate(ciphertext)
    assert opened.reveal() == secret.reveal()


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Operation.SIGN, "cannot import a private key from its seed"),
        (Operation.VERIFY, "under a context of 255 bytes"),
        (Operation.DECAPSULATE, "cannot import a private key from its seed"),
    ],
)
def test_a_refused_provider_is_a_mistake_in_the_settings(operation: Operation, reason: str) -> None:
    choice = ProviderChoice(**{operation.value: "pqcrypto"})

    with pytest.raises(ProviderRefusedError, match=reason) as refused:
        CryptoSuite.of(CryptoPolicy(providers=choice))

    assert refused.value.operation == operation
    assert refused.value.code == "config.provider_refused"


def test_policies_are_values() -> None:
    assert AcceptedAlgorithms.of(NEW, OLD) == AcceptedAlgorithms(NEW, frozenset({OLD, NEW} - {NEW}))
    assert AcceptedAlgorithms.of(NEW, OLD).accepted == {NEW, OLD}
    assert CryptoPolicy() == CryptoPolicy()
    assert ProviderChoice(verify="pqcrypto").names == {"cryptography", "pqcrypto"}
