"""ML-KEM-1024 (FIPS 203): agree on a 32-byte secret with whoever holds a public key."""

from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import mlkem

from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError

SEED_SIZE: Final = 64
PUBLIC_SIZE: Final = 1568
CIPHERTEXT_SIZE: Final = 1568


class KemKey:
    """A decapsulation key; made for one exchange and dropped after it, or an instance's own."""

    __slots__ = ("_key", "public")

    def __init__(self, key: mlkem.MLKEM1024PrivateKey) -> None:
        self._key = key
        self.public: bytes = key.public_key().public_bytes_raw()

    @classmethod
    def from_seed(cls, seed: SecretBytes) -> Self:
        """Make the key pair that FIPS 203 derives from ``seed`` (64 bytes, d then z).

        Raises:
            ValueError: ``seed`` is not 64 bytes.
        """
        return cls(mlkem.MLKEM1024PrivateKey.from_seed_bytes(seed.reveal()))

    def decapsulate(self, ciphertext: bytes) -> SecretBytes:
        """Return the 32-byte secret in ``ciphertext`` (1,568 bytes).

        A ciphertext made for another key gives another secret, not an error: what is sealed under
        the secret then does not open.

        Raises:
            VerificationError: ``ciphertext`` has the wrong size.
        """
        try:
            return SecretBytes(self._key.decapsulate(ciphertext))
        except ValueError:
            raise VerificationError from None


def encapsulate(public: bytes) -> tuple[bytes, SecretBytes]:
    """Return a ciphertext for the holder of ``public`` and the 32-byte secret inside.

    The randomness is the library's own: the primitive takes none from outside.

    Args:
        public: 1,568 bytes, from a peer.

    Raises:
        VerificationError: ``public`` is no ML-KEM-1024 key (size or modulus check).
    """
    try:
        secret, ciphertext = mlkem.MLKEM1024PublicKey.from_public_bytes(public).encapsulate()
    except ValueError:
        raise VerificationError from None
    return ciphertext, SecretBytes(secret)
