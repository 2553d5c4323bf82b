"""An `IssuerMint` in memory whose issuers sign real leaves, and which fails as a test says."""

from dataclasses import dataclass, field

from services.metadata.ports import MintedIssuer
from svc_core.domain.profiles import RotationProfile
from svc_core.errors import SvcError
from svc_core.ports.time import Clock
from tests.fakes.memory_certificate_issuer import (
    Intermediate,
    MemoryCertificateIssuer,
    make_issuer_under,
)
from tests.fakes.mishaps import Mishaps
from tests.fakes.scripted_roots import ScriptedRoots


@dataclass
class ScriptedMint:
    """Makes intermediates that ``leaves`` then signs with."""

    clock: Clock
    profile: RotationProfile
    leaves: MemoryCertificateIssuer
    roots: ScriptedRoots
    failure: SvcError | None = None
    """What every call fails with, as long as it is set."""
    mishaps: Mishaps = field(default_factory=Mishaps)
    """What single calls fail with."""
    made: list[str] = field(default_factory=list)
    """Every issuer that was made anew, in order."""
    signed_by: dict[str, str] = field(default_factory=dict)
    """Which root was asked to sign each issuer."""
    silenced: list[str] = field(default_factory=list)
    """Every issuer that was told to sign nothing, in order."""
    _minted: dict[str, MintedIssuer] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The issuers there are now."""
        return set(self._minted)

    async def mint(self, name: str, root: str) -> MintedIssuer:
        """Make the issuer called ``name``, or find it."""
        self._fail()
        with self.mishaps.effect():
            if name not in self._minted:
                self._make(name, self.roots.authorities[root])
                self.signed_by[name] = root
        return self._minted[name]

    async def silence(self, name: str) -> None:
        """Have the issuer called ``name`` sign nothing any more."""
        self._fail()
        with self.mishaps.effect():
            self.silenced.append(name)
            self.leaves.issuers.pop(name, None)

    async def remove(self, name: str) -> None:
        """Delete the issuer called ``name``."""
        self._fail()
        with self.mishaps.effect():
            self._minted.pop(name, None)
            self.leaves.issuers.pop(name, None)

    def _make(self, name: str, root: Intermediate) -> None:
        now, life = self.clock.now(), self.profile.ca.validity
        issuer = make_issuer_under(root, name, now=now, life=life)
        route = make_issuer_under(root, f"{name} for routes", now=now, life=life)
        end = issuer.certificate.not_valid_after_utc
        self.leaves.issuers[name] = issuer
        self._minted[name] = MintedIssuer(issuer.pem, route.pem, end)
        self.made.append(name)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
