"""The pinned answers are what SOURCE.md says they are."""

import hashlib

import pytest

from svc_core.crypto.kem import KemAlgorithm, KemKey
from svc_core.crypto.known_answers import KemAnswer, SigningAnswer, read_known_answers
from svc_core.crypto.signing import Algorithm, Signer

ANSWERS = read_known_answers()


def seed_of(algorithm: str, size: int) -> bytes:
    return hashlib.shake_256(f"known answer {algorithm}".encode()).digest(size)


@pytest.mark.parametrize("answer", ANSWERS.signing, ids=lambda a: a.algorithm)
def test_signing_keys_come_from_named_seeds(answer: SigningAnswer) -> None:
    assert answer.seed.reveal() == seed_of(answer.algorithm, 32)
    assert Signer.from_seed(answer.algorithm, answer.seed).public == answer.public


@pytest.mark.parametrize("answer", ANSWERS.kem, ids=lambda a: a.algorithm)
def test_kem_keys_come_from_named_seeds(answer: KemAnswer) -> None:
    key = KemKey.from_seed(answer.seed, algorithm=answer.algorithm)

    assert answer.seed.reveal() == seed_of(answer.algorithm, 64)
    assert key.public == answer.public
    assert key.decapsulate(answer.ciphertext).reveal() == answer.secret


def test_every_algorithm_has_an_answer_with_the_longest_context() -> None:
    longest = {a.algorithm: max(len(s.context) for s in a.signed) for a in ANSWERS.signing}

    assert longest == dict.fromkeys(Algorithm, 255)
    assert [answer.algorithm for answer in ANSWERS.kem] == list(KemAlgorithm)
