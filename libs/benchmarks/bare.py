"""Calls of the cryptographic libraries with nothing around them: what ratios are to.

Every one does the same job as the call of ours it stands beside, parsed keys included where ours
keeps them; keys are made here, once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, Self

from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem

from benchmarks.timed_loop import Operation
from svc_core.crypto.algorithms import Algorithm, KemAlgorithm

_SIGNING: Final[Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {
        Algorithm.ML_DSA_44: (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey),
        Algorithm.ML_DSA_65: (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey),
        Algorithm.ML_DSA_87: (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey),
    }
)
_KEM: Final[Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {
        KemAlgorithm.ML_KEM_768: (mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey),
        KemAlgorithm.ML_KEM_1024: (mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey),
    }
)
_SIGNING_SEED: Final = bytes(range(32))
_KEM_SEED: Final = bytes(range(64))


@dataclass(frozen=True, slots=True)
class BareSigning:
    """The three operations of one parameter set on one key."""

    keygen: Operation
    sign: Operation
    verify: Operation

    @classmethod
    def of(cls, provider: str, algorithm: Algorithm, message: bytes, context: bytes) -> Self:
        """Return those of the library named ``provider``, or raise `KeyError`."""
        makers = {"cryptography": cls._of_cryptography, "pqcrypto": cls._of_pqcrypto}
        return makers[provider](algorithm, message, context)

    @classmethod
    def _of_cryptography(cls, algorithm: Algorithm, message: bytes, context: bytes) -> Self:
        private, public = _SIGNING[algorithm]
        key = private.generate()
        parsed = public.from_public_bytes(key.public_key().public_bytes_raw())
        signature = key.sign(message, context)
        return cls(
            keygen=_generate(private.from_seed_bytes, _SIGNING_SEED),
            sign=partial(key.sign, message, context),
            verify=partial(parsed.verify, signature, message, context),
        )

    @classmethod
    def _of_pqcrypto(cls, algorithm: Algorithm, message: bytes, context: bytes) -> Self:
        library = _pqcrypto("sign", algorithm)
        public, private = library.keygen()
        signature = library.sign(private, message, context=context)
        return cls(
            keygen=library.keygen,
            sign=partial(library.sign, private, message, context=context),
            verify=partial(library.verify, public, message, signature, context=context),
        )


@dataclass(frozen=True, slots=True)
class BareKem:
    """The three operations of one parameter set on one key."""

    keygen: Operation
    encapsulate: Operation
    decapsulate: Operation

    @classmethod
    def of(cls, provider: str, algorithm: KemAlgorithm) -> Self:
        """Return those of the library named ``provider``, or raise `KeyError`.

        A peer's key is parsed each time.
        """
        makers = {"cryptography": cls._of_cryptography, "pqcrypto": cls._of_pqcrypto}
        return makers[provider](algorithm)

    @classmethod
    def _of_cryptography(cls, algorithm: KemAlgorithm) -> Self:
        private, public = _KEM[algorithm]
        key = private.generate()
        raw = key.public_key().public_bytes_raw()
        _, ciphertext = public.from_public_bytes(raw).encapsulate()
        return cls(
            keygen=_generate(private.from_seed_bytes, _KEM_SEED),
            encapsulate=_parse_and_encapsulate(public.from_public_bytes, raw),
            decapsulate=partial(key.decapsulate, ciphertext),
        )

    @classmethod
    def _of_pqcrypto(cls, algorithm: KemAlgorithm) -> Self:
        library = _pqcrypto("kem", algorithm)
        public, private = library.keygen()
        ciphertext, _ = library.encaps(public)
        return cls(
            keygen=library.keygen,
            encapsulate=partial(library.encaps, public),
            decapsulate=partial(library.decaps, private, ciphertext),
        )


def _generate(parse: Callable[[bytes], Any], seed: bytes) -> Operation:
    # The public half is wanted at once, so encoding it is part of the job.
    def generate() -> object:
        return parse(seed).public_key().public_bytes_raw()

    return generate


def _parse_and_encapsulate(parse: Callable[[bytes], Any], raw: bytes) -> Operation:
    def encapsulate() -> object:
        return parse(raw).encapsulate()

    return encapsulate


def _pqcrypto(package: str, algorithm: str) -> Any:  # noqa: ANN401 (a module without types)
    return import_module(f"pqcrypto.{package}.{algorithm.lower().replace('-', '_')}")
