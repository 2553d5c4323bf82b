"""The chosen algorithms of the chosen providers, ready to use: what a composition root builds.

`CryptoSuite.of` asks the registry once, so a provider that was refused is a mistake in the
settings at start, never a surprise at the first message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.crypto.kem import KemKey, encapsulate
from svc_core.crypto.policy import AcceptedAlgorithms, CryptoPolicy, ProviderChoice
from svc_core.crypto.providers import KemProvider, Operation, SigningProvider
from svc_core.crypto.registry import Registry, open_registry
from svc_core.crypto.signing import Signer, Verifier
from svc_core.domain.secrets import SecretBytes
from svc_core.errors import VerificationError


@dataclass(frozen=True, slots=True)
class SignatureSuite:
    """Signatures of one purpose: which are made, which are accepted."""

    algorithms: AcceptedAlgorithms[Algorithm]
    signing: Mapping[Algorithm, SigningProvider]
    verifying: Mapping[Algorithm, SigningProvider]

    @classmethod
    def of(
        cls,
        algorithms: AcceptedAlgorithms[Algorithm],
        registry: Registry,
        providers: ProviderChoice,
    ) -> Self:
        """Look the providers up, or raise `ProviderRefusedError`."""
        signing, verifying = (
            {
                algorithm: registry.signing(algorithm, operation, provider=providers.of(operation))
                for algorithm in algorithms.accepted
            }
            for operation in (Operation.SIGN, Operation.VERIFY)
        )
        return cls(algorithms, MappingProxyType(signing), MappingProxyType(verifying))

    def signer(self, seed: SecretBytes, *, algorithm: str = "") -> Signer:
        """Return the key pair of ``seed`` (32 bytes), parsed.

        Args:
            seed: of a key of our own.
            algorithm: the key's, where it was made before; empty: the one to use now.

        Raises:
            AlgorithmRefusedError: ``algorithm`` is not accepted (any more).
            ValueError: ``seed`` is not 32 bytes.
        """
        chosen = self.algorithms.require(algorithm or self.algorithms.use)
        return Signer.from_seed(chosen, seed, provider=self.signing[chosen])

    def verifier(self, algorithm: str, public: bytes) -> Verifier:
        """Return a public key of a known signer, parsed.

        Raises:
            AlgorithmRefusedError: ``algorithm`` is not accepted (any more).
            ValueError: ``public`` has not the size of ``algorithm``.
        """
        chosen = self.algorithms.require(algorithm)
        return Verifier.from_public(chosen, public, provider=self.verifying[chosen])


@dataclass(frozen=True, slots=True)
class KemSuite:
    """Key encapsulation: which key pairs are made, whose public keys are accepted."""

    algorithms: AcceptedAlgorithms[KemAlgorithm]
    encapsulating: Mapping[KemAlgorithm, KemProvider]
    decapsulating: Mapping[KemAlgorithm, KemProvider]

    @classmethod
    def of(
        cls,
        algorithms: AcceptedAlgorithms[KemAlgorithm],
        registry: Registry,
        providers: ProviderChoice,
    ) -> Self:
        """Look the providers up, or raise `ProviderRefusedError`."""
        encapsulating, decapsulating = (
            {
                algorithm: registry.kem(algorithm, operation, provider=providers.of(operation))
                for algorithm in algorithms.accepted
            }
            for operation in (Operation.ENCAPSULATE, Operation.DECAPSULATE)
        )
        return cls(algorithms, MappingProxyType(encapsulating), MappingProxyType(decapsulating))

    def key(self, seed: SecretBytes) -> KemKey:
        """Return the key pair of ``seed`` (64 bytes) for the algorithm to use now."""
        chosen = self.algorithms.use
        return KemKey.from_seed(seed, algorithm=chosen, provider=self.decapsulating[chosen])

    def encapsulate(self, public: bytes) -> tuple[bytes, SecretBytes]:
        """Return a ciphertext for a peer's ``public`` key, and the 32-byte secret inside.

        Which algorithm it is of, its size says; no two have the same.

        Raises:
            VerificationError: it is no key of an accepted algorithm.
        """
        for algorithm, provider in self.encapsulating.items():
            if algorithm.public_size == len(public):
                return encapsulate(public, algorithm=algorithm, provider=provider)
        raise VerificationError


@dataclass(frozen=True, slots=True)
class CryptoSuite:
    """Everything a service signs, verifies and encapsulates with."""

    messages: SignatureSuite
    identities: SignatureSuite
    exchange: KemSuite

    @classmethod
    def of(cls, policy: CryptoPolicy, registry: Registry | None = None) -> Self:
        """Build the suite of ``policy``; the self-test of its providers runs here.

        Args:
            policy: from the settings.
            registry: tested providers; by default those that ``policy`` names.

        Raises:
            ProviderRefusedError: a provider is missing or failed its known answers.
        """
        tested = registry or open_registry(policy.providers.names)
        return cls(
            SignatureSuite.of(policy.messages, tested, policy.providers),
            SignatureSuite.of(policy.identities, tested, policy.providers),
            KemSuite.of(policy.exchange, tested, policy.providers),
        )
