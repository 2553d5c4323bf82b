"""Whether a provider may be used: it gives the known answers, and refuses what it must.

Cheap enough for every start (some milliseconds); the published vectors in full belong to the
tests. What a provider makes is judged by the default provider, which the same answers judge.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from svc_core.crypto.algorithms import KEM_SECRET_SIZE, MAX_CONTEXT_SIZE
from svc_core.crypto.kem import KemKey, encapsulate
from svc_core.crypto.known_answers import KemAnswer, KnownAnswers, Signed, SigningAnswer
from svc_core.crypto.providers import (
    KemProvider,
    Operation,
    Provider,
    SigningProvider,
    UnsupportedError,
)
from svc_core.crypto.signing import Signer, Verifier
from svc_core.errors import VerificationError

_LONGEST: Final = bytes(MAX_CONTEXT_SIZE)
_MESSAGE: Final = b"self-test"

Check = tuple[str, Operation, Callable[[], None]]
"""An algorithm's name, what a provider would do with it, and the check that returns or raises."""


def checks(provider: Provider, answers: KnownAnswers) -> Iterator[Check]:
    """Yield the checks of ``provider``; each raises `UnsupportedError` with the reason."""
    for signing in answers.signing:
        name = signing.algorithm.value
        yield name, Operation.SIGN, partial(_check_sign, provider.signing, signing)
        yield name, Operation.VERIFY, partial(_check_verify, provider.signing, signing)
    for kem in answers.kem:
        name = kem.algorithm.value
        yield name, Operation.ENCAPSULATE, partial(_check_encapsulate, provider.kem, kem)
        yield name, Operation.DECAPSULATE, partial(_check_decapsulate, provider.kem, kem)


def _check_sign(provider: SigningProvider, answer: SigningAnswer) -> None:
    signer = Signer.from_seed(answer.algorithm, answer.seed, provider=provider)
    _expect(signer.public == answer.public, "derives another public key from a seed")
    try:
        signature = signer.sign(_MESSAGE, context=_LONGEST)
        judge = Verifier.from_public(answer.algorithm, answer.public)
        judge.verify(signature, _MESSAGE, context=_LONGEST)
    except (ValueError, VerificationError):
        raise UnsupportedError("signs what does not verify") from None


def _check_verify(provider: SigningProvider, answer: SigningAnswer) -> None:
    verifier = Verifier.from_public(answer.algorithm, answer.public, provider=provider)
    for signed in answer.signed:
        _expect(
            not _refuses(verifier, signed),
            f"refuses a valid signature under a context of {len(signed.context)} bytes",
        )
    signed = answer.signed[0]
    other_message = Signed(signed.message + b"x", signed.context, signed.signature)
    _expect(_refuses(verifier, other_message), "verifies another message")
    other_context = Signed(signed.message, signed.context + b"x", signed.signature)
    _expect(_refuses(verifier, other_context), "verifies another context")
    changed = Signed(signed.message, signed.context, _flipped(signed.signature))
    _expect(_refuses(verifier, changed), "verifies a changed signature")


def _check_encapsulate(provider: KemProvider, answer: KemAnswer) -> None:
    try:
        ciphertext, secret = encapsulate(
            answer.public, algorithm=answer.algorithm, provider=provider
        )
        judge = KemKey.from_seed(answer.seed, algorithm=answer.algorithm)
        opened = judge.decapsulate(ciphertext)
    except (ValueError, VerificationError):
        raise UnsupportedError("refuses a valid public key") from None
    _expect(
        hmac.compare_digest(opened.reveal(), secret.reveal()), "encapsulates what does not open"
    )
    # The first coefficient becomes 4,095, which is no residue (FIPS 203, section 7.2).
    broken = b"\xff\xff" + answer.public[2:]
    try:
        encapsulate(broken, algorithm=answer.algorithm, provider=provider)
    except VerificationError:
        return
    raise UnsupportedError("does not check the modulus of a public key")


def _check_decapsulate(provider: KemProvider, answer: KemAnswer) -> None:
    key = KemKey.from_seed(answer.seed, algorithm=answer.algorithm, provider=provider)
    _expect(key.public == answer.public, "derives another public key from a seed")
    secret = key.decapsulate(answer.ciphertext)
    _expect(hmac.compare_digest(secret.reveal(), answer.secret), "opens to another secret")
    changed = _flipped(answer.ciphertext)
    _expect(
        hmac.compare_digest(key.decapsulate(changed).reveal(), _rejection(answer, changed)),
        "does not reject implicitly as FIPS 203 says",
    )


def _rejection(answer: KemAnswer, ciphertext: bytes) -> bytes:
    """Return what a changed ciphertext opens to: J(z, c) of FIPS 203, z the seed's second half."""
    return hashlib.shake_256(answer.seed.reveal()[32:] + ciphertext).digest(KEM_SECRET_SIZE)


def _refuses(verifier: Verifier, signed: Signed) -> bool:
    try:
        verifier.verify(signed.signature, signed.message, context=signed.context)
    except VerificationError:
        return True
    return False


def _flipped(raw: bytes) -> bytes:
    return bytes([raw[0] ^ 1]) + raw[1:]


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UnsupportedError(otherwise)
