"""Ways into OpenBao in memory: an `AccessorRegistry` and a `TokenRegistry` over the same facts."""

from dataclasses import dataclass, field

from services.metadata.domain.accessors import SecretIdFacts
from svc_core.domain.identity import ServiceName


@dataclass
class MemoryAccess:
    """OpenBao's secret-ids and tokens, in the hands of a thief who makes more as long as he can."""

    secret_ids: set[tuple[ServiceName, str]] = field(default_factory=set)
    tokens: set[tuple[ServiceName, str]] = field(default_factory=set)
    makes: int = 0
    """How many more secret-ids the thief will make with a token that is still good."""

    async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
        """Return the accessors of the secret-ids of ``service``."""
        return frozenset(name for owner, name in self.secret_ids if owner == service)

    async def describe(self, service: ServiceName, accessor: str) -> SecretIdFacts | None:
        """Fail: who ends everything needs to know nothing."""
        raise AssertionError(f"nobody asks about {service}'s {accessor}")

    async def destroy(self, service: ServiceName, accessor: str) -> None:
        """End one secret-id; the thief makes another while he has a token."""
        self.secret_ids.discard((service, accessor))
        if self.makes and any(owner == service for owner, _ in self.tokens):
            self.makes -= 1
            self.secret_ids.add((service, f"more-{self.makes}"))
            self.tokens.add((service, f"more-{self.makes}"))


@dataclass
class MemoryTokens:
    """The same from the side of the tokens."""

    access: MemoryAccess

    async def fetch_accessors(self, service: ServiceName) -> frozenset[str]:
        """Return the accessors of the tokens of ``service``."""
        return frozenset(name for owner, name in self.access.tokens if owner == service)

    async def revoke(self, accessor: str) -> None:
        """End one token."""
        self.access.tokens = {t for t in self.access.tokens if t[1] != accessor}
