"""What a measuring process can measure about cryptography, case by case.

A case is one call through `svc_core.crypto` and, beside it, the library's own call for the same
job. Where the registry refuses a provider something, there is only the library's call, so that the
libraries can still be compared, and the reason.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from benchmarks.bare import BareKem, BareSigning
from benchmarks.timed_loop import Operation, TimedLoop
from svc_core.crypto import aead, contexts, kdf
from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.crypto.kem import KemKey, encapsulate
from svc_core.crypto.provider_cryptography import CRYPTOGRAPHY
from svc_core.crypto.providers import Operation as Capability
from svc_core.crypto.providers import Provider
from svc_core.crypto.registry import LOADERS, Registry, open_registry
from svc_core.crypto.signing import Signer, Verifier
from svc_core.domain.secrets import SecretBytes

REFERENCE: Final = "reference"
"""SHAKE256 of 4 KiB: the unit costs are given in, since it is what ML-DSA spends its time on."""
LISTING: Final = "list"

_MESSAGE: Final = bytes(600)
_CONTEXT: Final = contexts.SIGNED_MESSAGE
_SIGNING_SEED: Final = SecretBytes(bytes(range(32)))
_KEM_SEED: Final = SecretBytes(bytes(range(64)))
_KEY: Final = bytes(range(32))
_SALT, _NONCE, _AAD = bytes(32), bytes(12), bytes(200)
_SIZES: Final = {"300 B": 300, "4 KiB": 4096}


@dataclass(frozen=True, slots=True)
class CryptoCase:
    """One operation of one provider."""

    name: str
    provider: str
    ours: Operation | None
    bare: Operation


def all_cases(registry: Registry) -> list[CryptoCase]:
    """Return the cases of every library that is installed."""
    cases: list[CryptoCase] = []
    for algorithm in Algorithm:
        for provider in registry.providers.values():
            cases += _signing(registry, provider, algorithm)
    for kem_algorithm in KemAlgorithm:
        for provider in registry.providers.values():
            cases += _kem(registry, provider, kem_algorithm)
    return [*cases, _hkdf(), *_aead()]


def all_refusals(registry: Registry) -> list[str]:
    """Return what providers are refused, a sentence for each reason."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for verdict in registry.refusals:
        refused = by_reason.setdefault((verdict.provider, verdict.refusal), [])
        refused.append(f"{verdict.algorithm} {verdict.operation}")
    return [
        f"{provider} {reason}, so it is refused for {', '.join(refused)}"
        for (provider, reason), refused in by_reason.items()
    ]


def _signing(registry: Registry, provider: Provider, algorithm: Algorithm) -> Iterator[CryptoCase]:
    signer = Signer.from_seed(algorithm, _SIGNING_SEED)
    signature = signer.sign(_MESSAGE, context=_CONTEXT)
    bare = BareSigning.of(provider.name, algorithm, _MESSAGE, _CONTEXT)
    keygen = sign = verify = None
    if _is_admitted(registry, provider, algorithm, Capability.SIGN):
        keygen = partial(Signer.from_seed, algorithm, _SIGNING_SEED, provider=provider.signing)
        sign = partial(keygen().sign, _MESSAGE, context=_CONTEXT)
    if _is_admitted(registry, provider, algorithm, Capability.VERIFY):
        verifier = Verifier.from_public(algorithm, signer.public, provider=provider.signing)
        verify = partial(verifier.verify, signature, _MESSAGE, context=_CONTEXT)
    yield CryptoCase(f"{algorithm} keygen", provider.name, keygen, bare.keygen)
    yield CryptoCase(f"{algorithm} sign", provider.name, sign, bare.sign)
    yield CryptoCase(f"{algorithm} verify", provider.name, verify, bare.verify)


def _kem(registry: Registry, provider: Provider, algorithm: KemAlgorithm) -> Iterator[CryptoCase]:
    key = KemKey.from_seed(_KEM_SEED, algorithm=algorithm)
    ciphertext, _ = encapsulate(key.public, algorithm=algorithm)
    bare = BareKem.of(provider.name, algorithm)
    keygen = encaps = decaps = None
    if _is_admitted(registry, provider, algorithm, Capability.DECAPSULATE):
        keygen = partial(KemKey.from_seed, _KEM_SEED, algorithm=algorithm, provider=provider.kem)
        decaps = partial(keygen().decapsulate, ciphertext)
    if _is_admitted(registry, provider, algorithm, Capability.ENCAPSULATE):
        encaps = partial(encapsulate, key.public, algorithm=algorithm, provider=provider.kem)
    yield CryptoCase(f"{algorithm} keygen", provider.name, keygen, bare.keygen)
    yield CryptoCase(f"{algorithm} encapsulate", provider.name, encaps, bare.encapsulate)
    yield CryptoCase(f"{algorithm} decapsulate", provider.name, decaps, bare.decapsulate)


def _is_admitted(
    registry: Registry, provider: Provider, algorithm: str, operation: Capability
) -> bool:
    return any(
        verdict.is_admitted
        for verdict in registry.verdicts
        if (verdict.provider, verdict.algorithm, verdict.operation)
        == (provider.name, algorithm, operation)
    )


def _hkdf() -> CryptoCase:
    secret, info = SecretBytes(_KEY), kdf.labelled_info(contexts.SEAL_MESSAGE, b"topic", b"key")

    def bare() -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=info).derive(_KEY)

    ours = partial(kdf.derive_key, secret, salt=_SALT, info=info)
    return CryptoCase("HKDF-SHA256 32 B", CRYPTOGRAPHY.name, ours, bare)


def _aead() -> Iterator[CryptoCase]:
    key, make = SecretBytes(_KEY), partial(CryptoCase, provider=CRYPTOGRAPHY.name)
    for label, size in _SIZES.items():
        plaintext = bytes(size)
        sealed = aead.encrypt(key, plaintext, nonce=_NONCE, aad=_AAD)
        yield make(
            f"AES-256-GCM encrypt {label}",
            ours=partial(aead.encrypt, key, plaintext, nonce=_NONCE, aad=_AAD),
            bare=_new_cipher(AESGCM.encrypt, plaintext),
        )
        yield make(
            f"AES-256-GCM decrypt {label}",
            ours=partial(aead.decrypt, key, sealed, nonce=_NONCE, aad=_AAD),
            bare=_new_cipher(AESGCM.decrypt, sealed),
        )


def _new_cipher(method: Callable[..., bytes], data: bytes) -> Operation:
    # Each message has a key of its own, so each has a cipher object of its own.
    def run() -> bytes:
        return method(AESGCM(_KEY), _NONCE, data, _AAD)

    return run


class CryptoBench:
    """Measures the cases by name, in processor time of one thread."""

    def __init__(self, cases: list[CryptoCase], refusals: list[str]) -> None:
        self._refusals = refusals
        self._listing = [
            {"name": case.name, "provider": case.provider, "is_bare_only": case.ours is None}
            for case in cases
        ]
        self._loops = {REFERENCE: TimedLoop(_reference)}
        for case in cases:
            self._loops[bare_id(case.name, case.provider)] = TimedLoop(case.bare)
            if case.ours is not None:
                self._loops[ours_id(case.name, case.provider)] = TimedLoop(case.ours)

    async def measure(self, case: str, seconds: float, **_details: float) -> dict[str, Any]:
        """Measure ``case``, or say which there are if it is `LISTING`."""
        if case == LISTING:
            return {"cases": self._listing, "refusals": self._refusals}
        return asdict(self._loops[case].run(seconds))


@asynccontextmanager
async def open_crypto_bench() -> AsyncIterator[CryptoBench]:
    """Judge the providers and make every key once."""
    registry = open_registry(LOADERS)
    yield CryptoBench(all_cases(registry), all_refusals(registry))


def ours_id(name: str, provider: str) -> str:
    """Return how the call through this project is asked for."""
    return f"{name}/{provider}/ours"


def bare_id(name: str, provider: str) -> str:
    """Return how the library's own call is asked for."""
    return f"{name}/{provider}/bare"


def _reference() -> bytes:
    return hashlib.shake_256(_REFERENCE_INPUT).digest(32)


_REFERENCE_INPUT: Final = bytes(4096)
