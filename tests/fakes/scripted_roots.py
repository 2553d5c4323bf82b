"""A `RootMint` in memory, which fails as a test says."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.metadata.ports import MintedRoot
from svc_core.crypto.certificates import fingerprint, not_after
from svc_core.domain.profiles import RotationProfile
from svc_core.errors import NotFoundError, SvcError
from svc_core.ports.time import Clock
from tests.fakes.memory_certificate_issuer import Intermediate, make_root
from tests.fakes.mishaps import Mishaps

TEN_YEARS = timedelta(days=3652)


@dataclass
class ScriptedRoots:
    """The roots in OpenBao: at first the one it was set up with."""

    clock: Clock
    profile: RotationProfile
    failure: SvcError | None = None
    """What every call fails with, as long as it is set."""
    mishaps: Mishaps = field(default_factory=Mishaps)
    """What single calls fail with."""
    made: list[str] = field(default_factory=list)
    """Every root that was made anew, in order."""

    def __post_init__(self) -> None:
        self.authorities: dict[str, Intermediate] = {}
        self.keys: set[str] = set()
        self._make("root", TEN_YEARS)

    @property
    def names(self) -> set[str]:
        """The roots there are now."""
        return set(self.authorities)

    def pem(self, name: str) -> str:
        """Return the certificate of one root."""
        return self.authorities[name].pem

    async def fetch(self, name: str) -> MintedRoot:
        """Return the root called ``name``."""
        self._fail()
        return self._minted(name)

    async def make(self, name: str) -> MintedRoot:
        """Make the root called ``name``, or find it."""
        self._fail()
        with self.mishaps.effect():
            if name not in self.authorities:
                self._make(name, self.profile.root_validity)
                self.made.append(name)
        return self._minted(name)

    async def remove(self, name: str, key: str) -> None:
        """Delete the root called ``name``, then its key."""
        self._fail()
        with self.mishaps.effect():
            self.authorities.pop(name, None)
        with self.mishaps.effect():
            self.keys.discard(key)

    def _make(self, name: str, life: timedelta) -> None:
        self.authorities[name] = make_root(name, now=self.clock.now(), life=life)
        self.keys.add(f"key of {name}")

    def _minted(self, name: str) -> MintedRoot:
        if name not in self.authorities:
            raise NotFoundError(f"no root {name}")
        pem = self.pem(name)
        return MintedRoot(pem, f"key of {name}", fingerprint(pem), not_after(pem))

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
