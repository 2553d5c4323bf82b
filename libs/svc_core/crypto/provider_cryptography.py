"""ML-DSA and ML-KEM of the package ``cryptography`` (OpenSSL): the default provider.

It keeps parsed keys, imports seeds, and releases the interpreter lock while it works. Its
signatures are hedged and its encapsulations random; it takes no entropy from outside.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import cryptography
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem

from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.crypto.providers import Provider
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

NAME: Final = "cryptography"

_SigningKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_VerifyKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
_KemKey = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
_KemPublic = mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey

_SIGNING: Final[Mapping[Algorithm, type[_SigningKey]]] = MappingProxyType(
    {
        Algorithm.ML_DSA_44: mldsa.MLDSA44PrivateKey,
        Algorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey,
        Algorithm.ML_DSA_87: mldsa.MLDSA87PrivateKey,
    }
)
_VERIFY: Final[Mapping[Algorithm, type[_VerifyKey]]] = MappingProxyType(
    {
        Algorithm.ML_DSA_44: mldsa.MLDSA44PublicKey,
        Algorithm.ML_DSA_65: mldsa.MLDSA65PublicKey,
        Algorithm.ML_DSA_87: mldsa.MLDSA87PublicKey,
    }
)
_KEM_PRIVATE: Final[Mapping[KemAlgorithm, type[_KemKey]]] = MappingProxyType(
    {
        KemAlgorithm.ML_KEM_768: mlkem.MLKEM768PrivateKey,
        KemAlgorithm.ML_KEM_1024: mlkem.MLKEM1024PrivateKey,
    }
)
_KEM_PUBLIC: Final[Mapping[KemAlgorithm, type[_KemPublic]]] = MappingProxyType(
    {
        KemAlgorithm.ML_KEM_768: mlkem.MLKEM768PublicKey,
        KemAlgorithm.ML_KEM_1024: mlkem.MLKEM1024PublicKey,
    }
)


class _PrivateKey:
    __slots__ = ("_key", "public")

    def __init__(self, key: _SigningKey) -> None:
        self._key = key
        self.public: bytes = key.public_key().public_bytes_raw()

    def sign(self, message: bytes, context: bytes) -> bytes:
        return self._key.sign(message, context)


class _PublicKey:
    __slots__ = ("_key",)

    def __init__(self, key: _VerifyKey) -> None:
        self._key = key

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        try:
            self._key.verify(signature, message, context)
        except InvalidSignature:
            raise VerificationError from None


class _DecapsulationKey:
    __slots__ = ("_key", "public")

    def __init__(self, key: _KemKey) -> None:
        self._key = key
        self.public: bytes = key.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes) -> SecretBytes:
        return SecretBytes(self._key.decapsulate(ciphertext))


class _Signing:
    __slots__ = ()

    def private_key(self, algorithm: Algorithm, seed: SecretBytes) -> _PrivateKey:
        return _PrivateKey(_SIGNING[algorithm].from_seed_bytes(seed.reveal()))

    def public_key(self, algorithm: Algorithm, public: bytes) -> _PublicKey:
        return _PublicKey(_VERIFY[algorithm].from_public_bytes(public))


class _Kem:
    __slots__ = ()

    def private_key(self, algorithm: KemAlgorithm, seed: SecretBytes) -> _DecapsulationKey:
        return _DecapsulationKey(_KEM_PRIVATE[algorithm].from_seed_bytes(seed.reveal()))

    def encapsulate(self, algorithm: KemAlgorithm, public: bytes) -> tuple[bytes, SecretBytes]:
        try:
            secret, ciphertext = _KEM_PUBLIC[algorithm].from_public_bytes(public).encapsulate()
        except ValueError:
            raise VerificationError from None
        return ciphertext, SecretBytes(secret)


CRYPTOGRAPHY: Final = Provider(NAME, cryptography.__version__, _Signing(), _Kem())
"""Stateless, so one is enough."""
