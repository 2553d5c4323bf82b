"""`ServiceBundle`: exactly the keys one service may have, and the rules to accept a bundle."""

from dataclasses import dataclass
from datetime import datetime

from svc_core.domain.identity import InstanceName, ServiceName
from svc_core.domain.keys import KeyRing
from svc_core.errors import (
    BundleExpiredError,
    BundleRecipientError,
    BundleRollbackError,
    ProfileMismatchError,
)


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """One pull: who asks, under which fresh ML-KEM key, with which nonce."""

    service: ServiceName
    instance: InstanceName
    kem_public: bytes
    """ML-KEM-1024 public key, 1,568 bytes, used once."""
    nonce: bytes
    """32 bytes; the reply is bound to them."""
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class ServiceBundle:
    """The keys of one service as of one monotonic version."""

    service: ServiceName
    version: int
    key_epoch: int
    profile: str
    created_at: datetime
    expires_at: datetime
    ring: KeyRing


def check_bundle(
    bundle: ServiceBundle,
    *,
    service: ServiceName,
    profile: str,
    newest_version: int,
    now: datetime,
) -> None:
    """Refuse a bundle that is for another, of another profile, older or expired.

    Raises:
        BundleRecipientError: it was made for another service.
        ProfileMismatchError: the authority runs another profile.
        BundleRollbackError: its version is below the newest this instance has used.
        BundleExpiredError: its life is over.
    """
    if bundle.service != service or bundle.ring.service != service:
        raise BundleRecipientError(f"bundle is for {bundle.service}, not {service}")
    if bundle.profile != profile:
        raise ProfileMismatchError(configured=profile, announced=bundle.profile)
    if bundle.version < newest_version:
        raise BundleRollbackError(f"bundle version {bundle.version} is below {newest_version}")
    if now >= bundle.expires_at:
        raise BundleExpiredError(f"bundle expired at {bundle.expires_at.isoformat()}")
