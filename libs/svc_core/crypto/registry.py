"""Which implementation may do what: providers by name, tested before they are used.

A `Registry` is a value. It is built from loaders, judges each provider by known answers, and hands
out only what was admitted; what was refused it refuses with the reason. Nothing is registered at
import, and a library nobody asks for is not loaded.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from svc_core.crypto import provider_cryptography, provider_pqcrypto
from svc_core.crypto.algorithms import Algorithm, KemAlgorithm
from svc_core.crypto.known_answers import KnownAnswers, read_known_answers
from svc_core.crypto.provider_cryptography import CRYPTOGRAPHY
from svc_core.crypto.provider_pqcrypto import load_pqcrypto
from svc_core.crypto.providers import (
    KemProvider,
    Operation,
    Provider,
    SigningProvider,
    UnsupportedError,
)
from svc_core.crypto.self_test import checks
from svc_core.errors import ProviderRefusedError, VerificationError

Loader = Callable[[], Provider]
"""Returns a provider, or raises `UnsupportedError` with the reason why there is none."""

LOADERS: Final[Mapping[str, Loader]] = MappingProxyType(
    {
        provider_cryptography.NAME: lambda: CRYPTOGRAPHY,
        provider_pqcrypto.NAME: load_pqcrypto,
    }
)
"""Every provider there is a module for, the default first."""

_OPERATIONS: Final[Mapping[type[Algorithm | KemAlgorithm], tuple[Operation, Operation]]] = (
    MappingProxyType(
        {
            Algorithm: (Operation.SIGN, Operation.VERIFY),
            KemAlgorithm: (Operation.ENCAPSULATE, Operation.DECAPSULATE),
        }
    )
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one provider may do one thing with one algorithm."""

    provider: str
    """Its name in settings."""
    version: str
    """Its library's version; empty if it could not be loaded."""
    algorithm: str
    operation: Operation
    refusal: str = ""
    """Why not, as the end of a sentence about the provider; empty: admitted."""

    @property
    def is_admitted(self) -> bool:
        """Whether it may be used."""
        return not self.refusal


@dataclass(frozen=True, slots=True)
class Registry:
    """Tested providers; immutable."""

    providers: Mapping[str, Provider]
    verdicts: tuple[Verdict, ...]

    @classmethod
    def of(cls, loaders: Mapping[str, Loader], answers: KnownAnswers | None = None) -> Self:
        """Load and judge the providers of ``loaders``; one that fails is kept out, not an error.

        Args:
            loaders: by the name settings use.
            answers: what to judge by; the package's own by default.
        """
        known = answers or read_known_answers()
        found: dict[str, Provider] = {}
        verdicts: list[Verdict] = []
        for name, load in loaders.items():
            try:
                found[name] = load()
            except UnsupportedError as err:
                verdicts += _refused_everywhere(name, str(err))
            else:
                verdicts += judge(found[name], known)
        return cls(MappingProxyType(found), tuple(verdicts))

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        """The verdicts that keep a provider from something."""
        return tuple(verdict for verdict in self.verdicts if not verdict.is_admitted)

    def check(self) -> tuple[Verdict, ...]:
        """Judge the loaded providers again, as a self-test of a running process."""
        known = read_known_answers()
        return tuple(v for provider in self.providers.values() for v in judge(provider, known))

    def signing(
        self, algorithm: Algorithm, operation: Operation, *, provider: str
    ) -> SigningProvider:
        """Return the ML-DSA of ``provider`` for one algorithm and operation.

        Raises:
            ProviderRefusedError: it is missing or was refused; the reason says why.
        """
        return self._admitted(algorithm, operation, provider).signing

    def kem(self, algorithm: KemAlgorithm, operation: Operation, *, provider: str) -> KemProvider:
        """Return the ML-KEM of ``provider`` for one algorithm and operation.

        Raises:
            ProviderRefusedError: it is missing or was refused; the reason says why.
        """
        return self._admitted(algorithm, operation, provider).kem

    def _admitted(self, algorithm: str, operation: Operation, provider: str) -> Provider:
        reason = "is not one of the providers, which are " + ", ".join(sorted(LOADERS))
        for verdict in self.verdicts:
            if (verdict.provider, verdict.algorithm, verdict.operation) == (
                provider,
                algorithm,
                operation,
            ):
                reason = verdict.refusal
        if reason:
            raise ProviderRefusedError(
                provider=provider, algorithm=algorithm, operation=operation, reason=reason
            )
        return self.providers[provider]


def open_registry(names: Iterable[str] = (provider_cryptography.NAME,)) -> Registry:
    """Return a registry of the providers ``names``; names nobody knows are left out.

    A name that was left out is refused when it is asked for, with the names there are.
    """
    wanted = set(names)
    return Registry.of({name: load for name, load in LOADERS.items() if name in wanted})


def judge(provider: Provider, answers: KnownAnswers) -> tuple[Verdict, ...]:
    """Return what ``provider`` may do and what not, by its answers."""
    return tuple(
        Verdict(provider.name, provider.version, algorithm, operation, _refusal(check))
        for algorithm, operation, check in checks(provider, answers)
    )


def _refusal(check: Callable[[], None]) -> str:
    try:
        check()
    except UnsupportedError as err:
        return str(err)
    except (ValueError, VerificationError):
        return "fails its known answers"
    return ""


def _refused_everywhere(name: str, reason: str) -> Iterable[Verdict]:
    for algorithms, operations in _OPERATIONS.items():
        for algorithm in algorithms:
            for operation in operations:
                yield Verdict(name, "", algorithm.value, operation, reason)
