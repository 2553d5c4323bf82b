"""ML-DSA and ML-KEM of the package ``pqcrypto`` (Rust): the second implementation, optional.

It knows private keys in expanded form only, so it can make nothing from a seed: it verifies and
encapsulates. It holds the interpreter lock while it works.
"""

from importlib import import_module, metadata
from typing import Final, NoReturn, Protocol

from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.crypto.providers import Provider, UnsupportedError
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

NAME: Final = "pqcrypto"


class _SignatureSet(Protocol):
    def verify(self, public: bytes, message: bytes, signature: bytes, *, context: bytes) -> None:
        """Return, or raise an error that is a `ValueError`."""
        ...


class _KemSet(Protocol):
    def encaps(self, public: bytes) -> tuple[bytes, bytes]:
        """Return ciphertext and secret, in this order, or raise `ValueError`."""
        ...


def load_pqcrypto() -> Provider:
    """Import the package, which nothing does before it is asked for (7 MB).

    Raises:
        UnsupportedError: it is not installed, or lacks a parameter set.
    """
    try:
        signing, kem = import_module("pqcrypto.sign"), import_module("pqcrypto.kem")
        sets: dict[Algorithm, _SignatureSet] = {
            name: getattr(signing, _module_name(name)) for name in Algorithm
        }
        kems: dict[KemAlgorithm, _KemSet] = {
            name: getattr(kem, _module_name(name)) for name in KemAlgorithm
        }
        version = metadata.version(NAME)
    except ImportError:
        raise UnsupportedError("is not installed (extra `interop`)") from None
    except AttributeError:
        raise UnsupportedError("lacks a parameter set") from None
    return Provider(NAME, version, _Signing(sets), _Kem(kems))


def _module_name(algorithm: str) -> str:
    """Return ``ml_dsa_65`` for ``ML-DSA-65``."""
    return algorithm.lower().replace("-", "_")


class _PublicKey:
    __slots__ = ("_public", "_set")

    def __init__(self, parameter_set: _SignatureSet, public: bytes) -> None:
        self._set = parameter_set
        self._public = public

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        try:
            self._set.verify(self._public, message, signature, context=context)
        except ValueError:  # also the base of the package's own error
            raise VerificationError from None


class _Signing:
    __slots__ = ("_sets",)

    def __init__(self, sets: dict[Algorithm, _SignatureSet]) -> None:
        self._sets = sets

    def private_key(self, algorithm: Algorithm, seed: SecretBytes) -> NoReturn:
        raise UnsupportedError("cannot import a private key from its seed")

    def public_key(self, algorithm: Algorithm, public: bytes) -> _PublicKey:
        return _PublicKey(self._sets[algorithm], public)


class _Kem:
    __slots__ = ("_sets",)

    def __init__(self, sets: dict[KemAlgorithm, _KemSet]) -> None:
        self._sets = sets

    def private_key(self, algorithm: KemAlgorithm, seed: SecretBytes) -> NoReturn:
        raise UnsupportedError("cannot import a private key from its seed")

    def encapsulate(self, algorithm: KemAlgorithm, public: bytes) -> tuple[bytes, SecretBytes]:
        try:
            ciphertext, secret = self._sets[algorithm].encaps(public)
        except ValueError:
            raise VerificationError from None
        return ciphertext, SecretBytes(secret)
