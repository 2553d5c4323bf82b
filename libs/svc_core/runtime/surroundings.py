"""What every flow stands in: time, entropy, cryptography, the profile, the health it reports."""

from dataclasses import dataclass

from svc_core.crypto.suite import CryptoSuite
from svc_core.domain.profiles import RotationProfile
from svc_core.ports.time import Clock, Entropy
from svc_core.runtime.health import Health


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Passed whole, so that a flow's own collaborators stand out among its arguments."""

    clock: Clock
    entropy: Entropy
    profile: RotationProfile
    health: Health
    crypto: CryptoSuite
