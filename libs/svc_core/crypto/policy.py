"""Which algorithms are used and accepted, and whose implementation: plain values from settings.

During a migration two algorithms are accepted at once: first everybody accepts the new one beside
the old, then makers use the new one, then the old one is accepted no longer.
"""

from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.crypto.provider_cryptography import NAME as CRYPTOGRAPHY_NAME
from svc_core.crypto.providers import Operation
from svc_core.errors import AlgorithmRefusedError

A = TypeVar("A", Algorithm, KemAlgorithm)


@dataclass(frozen=True, slots=True)
class AcceptedAlgorithms(Generic[A]):
    """One algorithm to use, and those to accept: that one always, others beside it if named."""

    use: A
    also: frozenset[A] = frozenset()

    @classmethod
    def of(cls, use: A, *also: A) -> Self:
        """Return a policy that uses ``use`` and accepts ``also`` beside it."""
        return cls(use, frozenset(also))

    @property
    def accepted(self) -> frozenset[A]:
        """All that are accepted."""
        return self.also | {self.use}

    def require(self, name: str) -> A:
        """Return the accepted algorithm called ``name``.

        Raises:
            AlgorithmRefusedError: there is none of that name, or it is not accepted.
        """
        for algorithm in self.accepted:
            if algorithm.value == name:
                return algorithm
        # The name may come from a peer, so it is cut.
        raise AlgorithmRefusedError(f"{name[:32]!r} is not an accepted algorithm")


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """The name of the provider for each operation."""

    sign: str = CRYPTOGRAPHY_NAME
    verify: str = CRYPTOGRAPHY_NAME
    encapsulate: str = CRYPTOGRAPHY_NAME
    decapsulate: str = CRYPTOGRAPHY_NAME

    def of(self, operation: Operation) -> str:
        """Return the name of the provider for ``operation``."""
        name: str = getattr(self, operation.value)
        return name

    @property
    def names(self) -> frozenset[str]:
        """The providers that are needed at all."""
        return frozenset(self.of(operation) for operation in Operation)


@dataclass(frozen=True, slots=True)
class CryptoPolicy:
    """Everything a deployment may choose about post-quantum algorithms."""

    messages: AcceptedAlgorithms[Algorithm] = AcceptedAlgorithms(Algorithm.ML_DSA_65)
    """Of the keys that sign messages between services."""
    identities: AcceptedAlgorithms[Algorithm] = AcceptedAlgorithms(Algorithm.ML_DSA_87)
    """Of the identity keys that sign control documents."""
    exchange: AcceptedAlgorithms[KemAlgorithm] = AcceptedAlgorithms(KemAlgorithm.ML_KEM_1024)
    """Of the keys that bundles are sealed to."""
    providers: ProviderChoice = field(default_factory=ProviderChoice)
