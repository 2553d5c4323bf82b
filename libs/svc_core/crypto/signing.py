"""ML-DSA (FIPS 204, pure mode, hedged) behind two objects that hold a parsed key.

Parsing costs a third of a signature, so callers keep `Signer` and `Verifier` objects. Both may be
used from several threads; the library releases the GIL while it works.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

SEED_SIZE: Final = 32

_PrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_PublicKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey


class Algorithm(StrEnum):
    """The parameter sets of FIPS 204, by the names used on the wire."""

    ML_DSA_44 = "ML-DSA-44"
    ML_DSA_65 = "ML-DSA-65"
    ML_DSA_87 = "ML-DSA-87"

    @property
    def public_size(self) -> int:
        """Bytes of a public key: 1,312, 1,952 or 2,592."""
        return _PARAMETERS[self].public_size

    @property
    def signature_size(self) -> int:
        """Bytes of a signature: 2,420, 3,309 or 4,627."""
        return _PARAMETERS[self].signature_size


@dataclass(frozen=True, slots=True)
class _Parameters:
    private: type[_PrivateKey]
    public: type[_PublicKey]
    public_size: int
    signature_size: int


_PARAMETERS: Final[Mapping[Algorithm, _Parameters]] = MappingProxyType(
    {
        Algorithm.ML_DSA_44: _Parameters(
            mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey, 1312, 2420
        ),
        Algorithm.ML_DSA_65: _Parameters(
            mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey, 1952, 3309
        ),
        Algorithm.ML_DSA_87: _Parameters(
            mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey, 2592, 4627
        ),
    }
)


class Signer:
    """A private key, parsed once."""

    __slots__ = ("_key", "algorithm", "public")

    def __init__(self, algorithm: Algorithm, key: _PrivateKey) -> None:
        self._key = key
        self.algorithm = algorithm
        self.public: bytes = key.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, algorithm: Algorithm, seed: SecretBytes) -> Self:
        """Make the key pair that FIPS 204 derives from ``seed``.

        Args:
            algorithm: the parameter set.
            seed: 32 bytes; the only form in which private keys are stored.

        Raises:
            ValueError: ``seed`` is not 32 bytes.
        """
        return cls(algorithm, _PARAMETERS[algorithm].private.from_seed_bytes(seed.reveal()))

    def sign(self, message: bytes, *, context: bytes) -> bytes:
        """Return the signature over ``message``; every call gives another one.

        Raises:
            ValueError: ``context`` is empty or longer than 255 bytes.
        """
        return self._key.sign(message, _checked(context))


class Verifier:
    """A public key, parsed once."""

    __slots__ = ("_key", "algorithm")

    def __init__(self, algorithm: Algorithm, key: _PublicKey) -> None:
        self._key = key
        self.algorithm = algorithm

    @classmethod
    def from_public(cls, algorithm: Algorithm, public: bytes) -> Self:
        """Parse a raw public key.

        Raises:
            ValueError: ``public`` has not the size of ``algorithm``.
        """
        return cls(algorithm, _PARAMETERS[algorithm].public.from_public_bytes(public))

    def verify(self, signature: bytes, message: bytes, *, context: bytes) -> None:
        """Return if ``signature`` covers ``message`` under ``context``.

        Raises:
            VerificationError: it does not, whatever the reason.
        """
        try:
            self._key.verify(signature, message, _checked(context))
        except InvalidSignature:
            raise VerificationError from None


def _checked(context: bytes) -> bytes:
    # An empty context would make signatures of different kinds of things interchangeable.
    if not context:
        raise ValueError("a signature needs a context")
    return context
