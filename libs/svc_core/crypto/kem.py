"""ML-KEM (FIPS 203): agree on a 32-byte secret with whoever holds a public key."""

from typing import Final, Self

from svc_core.crypto.algorithms import KEM_SEED_SIZE, KemAlgorithm
from svc_core.crypto.provider_cryptography import CRYPTOGRAPHY
from svc_core.crypto.providers import DecapsulationKey, KemProvider
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

__all__ = ["CIPHERTEXT_SIZE", "PUBLIC_SIZE", "SEED_SIZE", "KemAlgorithm", "KemKey", "encapsulate"]

_DEFAULT: Final = KemAlgorithm.ML_KEM_1024
SEED_SIZE: Final = KEM_SEED_SIZE
PUBLIC_SIZE: Final = _DEFAULT.public_size
"""Of ML-KEM-1024."""
CIPHERTEXT_SIZE: Final = _DEFAULT.ciphertext_size
"""Of ML-KEM-1024."""


class KemKey:
    """A decapsulation key; made for one exchange and dropped after it, or an instance's own."""

    __slots__ = ("_key", "algorithm", "public")

    def __init__(self, algorithm: KemAlgorithm, key: DecapsulationKey) -> None:
        self._key = key
        self.algorithm = algorithm
        self.public: bytes = key.public

    @classmethod
    def from_seed(
        cls,
        seed: SecretBytes,
        *,
        algorithm: KemAlgorithm = _DEFAULT,
        provider: KemProvider = CRYPTOGRAPHY.kem,
    ) -> Self:
        """Make the key pair that FIPS 203 derives from ``seed``.

        Args:
            seed: 64 bytes, d then z; the only form in which private keys exist here.
            algorithm: the parameter set.
            provider: whose implementation decapsulates.

        Raises:
            ValueError: ``seed`` is not 64 bytes.
        """
        if len(seed) != SEED_SIZE:
            raise ValueError(f"the seed of a KEM key has {SEED_SIZE} bytes, not {len(seed)}")
        return cls(algorithm, provider.private_key(algorithm, seed))

    def decapsulate(self, ciphertext: bytes) -> SecretBytes:
        """Return the 32-byte secret in ``ciphertext`` (1,088 or 1,568 bytes).

        A ciphertext made for another key, or changed, gives another secret, not an error (implicit
        rejection): what is sealed under the secret then does not open.

        Raises:
            VerificationError: ``ciphertext`` has the wrong size.
        """
        if len(ciphertext) != self.algorithm.ciphertext_size:
            raise VerificationError
        return self._key.decapsulate(ciphertext)


def encapsulate(
    public: bytes,
    *,
    algorithm: KemAlgorithm = _DEFAULT,
    provider: KemProvider = CRYPTOGRAPHY.kem,
) -> tuple[bytes, SecretBytes]:
    """Return a ciphertext for the holder of ``public`` and the 32-byte secret inside.

    The randomness is the library's own: the primitive takes none from outside.

    Args:
        public: 1,184 or 1,568 bytes, from a peer.
        algorithm: the parameter set ``public`` must be a key of.
        provider: whose implementation encapsulates.

    Raises:
        VerificationError: ``public`` is no key of ``algorithm`` (size or modulus check).
    """
    if len(public) != algorithm.public_size:
        raise VerificationError
    return provider.encapsulate(algorithm, public)
