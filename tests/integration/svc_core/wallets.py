"""Certificates of the test's own authority, good and bad, for the table of what must be refused."""

from dataclasses import dataclass
from datetime import timedelta

from console.doctor_cases import Shown
from console.doctor_wallet import NotInWalletError, forge
from svc_core.adapters.system_clock import SystemClock
from svc_core.domain.tls import TlsMaterial
from tests.fakes.memory_certificate_issuer import Intermediate
from tests.tls_materials import make_material

LONG = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class MemoryWallet:
    """A wallet whose owner has the authority's key."""

    issuer: Intermediate
    good: str
    """The SPIFFE id of a client that is served."""
    stranger: str
    """One that is not."""

    def trust(self) -> str:
        return self.issuer.pem

    def show(self, shown: Shown) -> TlsMaterial:
        now = SystemClock().now()
        match shown:
            case Shown.GOOD | Shown.READER:
                return make_material(self.issuer, uri=self.good)
            case Shown.STRANGER:
                return make_material(self.issuer, uri=self.stranger)
            case Shown.SERVER:
                return make_material(self.issuer, server=True)
            case Shown.EXPIRED:
                return make_material(self.issuer, uri=self.good, now=now - LONG, ttl=MINUTE)
            case Shown.NOT_YET_VALID:
                return make_material(self.issuer, uri=self.good, now=now + LONG)
            case Shown.FOREIGN:
                return forge(self.show(Shown.GOOD), self.trust())
            case _:
                raise NotInWalletError(shown.value)
