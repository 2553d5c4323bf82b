"""The post-quantum algorithms by the names used on the wire, with their sizes in bytes."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

SIGNING_SEED_SIZE: Final = 32
"""Bytes of the seed every ML-DSA key pair is derived from (FIPS 204, the Greek letter xi)."""
KEM_SEED_SIZE: Final = 64
"""Bytes of the seed every ML-KEM key pair is derived from (FIPS 203, d then z)."""
KEM_SECRET_SIZE: Final = 32
"""Bytes of the secret that ML-KEM agrees on."""
MAX_CONTEXT_SIZE: Final = 255
"""Bytes a signature context may have (FIPS 204)."""


class Algorithm(StrEnum):
    """The parameter sets of FIPS 204 (signatures)."""

    ML_DSA_44 = "ML-DSA-44"
    ML_DSA_65 = "ML-DSA-65"
    ML_DSA_87 = "ML-DSA-87"

    @property
    def public_size(self) -> int:
        """Bytes of a public key: 1,312, 1,952 or 2,592."""
        return _SIGNING[self].public

    @property
    def signature_size(self) -> int:
        """Bytes of a signature: 2,420, 3,309 or 4,627."""
        return _SIGNING[self].sent


class KemAlgorithm(StrEnum):
    """The parameter sets of FIPS 203 (key encapsulation) in use here."""

    ML_KEM_768 = "ML-KEM-768"
    ML_KEM_1024 = "ML-KEM-1024"

    @property
    def public_size(self) -> int:
        """Bytes of a public key: 1,184 or 1,568."""
        return _KEM[self].public

    @property
    def ciphertext_size(self) -> int:
        """Bytes of a ciphertext: 1,088 or 1,568."""
        return _KEM[self].sent


class _Sizes(NamedTuple):
    public: int
    sent: int


_SIGNING: Final[Mapping[Algorithm, _Sizes]] = MappingProxyType(
    {
        Algorithm.ML_DSA_44: _Sizes(1312, 2420),
        Algorithm.ML_DSA_65: _Sizes(1952, 3309),
        Algorithm.ML_DSA_87: _Sizes(2592, 4627),
    }
)
_KEM: Final[Mapping[KemAlgorithm, _Sizes]] = MappingProxyType(
    {
        KemAlgorithm.ML_KEM_768: _Sizes(1184, 1088),
        KemAlgorithm.ML_KEM_1024: _Sizes(1568, 1568),
    }
)
