"""Getting a leaf certificate: new key, request, signature by the named issuer, check."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from svc_core.crypto import certificates
from svc_core.domain.desired import DesiredState, TrustedIssuer
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import (
    NotFoundError,
    RequestRefusedError,
    TlsMaterialError,
    UntrustedAnswerError,
)
from svc_core.ports.certificates import CertificateIssuer, LeafRequest
from svc_core.runtime.surroundings import Surroundings

CLIENT_MOUNT: Final = "nats_int"
ROUTE_MOUNT: Final = "nats_route"
_LEAST_TTL: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class LeafSpec:
    """For whom a leaf is: the issuing role and the exact names."""

    role: str
    uris: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    server: bool = False
    mount: str = field(default=CLIENT_MOUNT)


class LeafIssuing:
    """Issues leaves by explicit issuer; the mount's default issuer is never used."""

    def __init__(self, issuer: CertificateIssuer, around: Surroundings) -> None:
        self._issuer = issuer
        self._clock = around.clock
        self._entropy = around.entropy
        self._profile = around.profile

    async def issue(self, spec: LeafSpec, desired: DesiredState, issuer_name: str) -> TlsMaterial:
        """Return new material for ``spec`` signed by ``issuer_name``.

        The lifetime is the profile's, clamped to the issuer's end, so that a held rotation
        shortens leaves and does not stop them.

        Raises:
            NotFoundError: the issuer is not trusted, gone, or too near its end.
            UntrustedAnswerError: trust mode ``chain``, and no trusted root signed a trusted issuer.
            SecretStoreError, AccessDeniedError: as OpenBao answered.
        """
        issuer = desired.issuer(issuer_name)
        if issuer is None:
            raise NotFoundError(f"issuer {issuer_name!r} is not trusted")
        now = self._clock.now()
        left = issuer.not_after - now - timedelta(seconds=1)
        ttl = min(self._profile.leaf_ttl, left)
        if ttl < _LEAST_TTL:
            raise NotFoundError(f"issuer {issuer_name!r} is too near its end")
        _check_chain(_trust(spec, desired), desired.anchor_pem, now)
        key = certificates.new_leaf_key(self._entropy)
        csr = certificates.certificate_request(key, uris=spec.uris, dns=spec.dns, ips=spec.ips)
        request = LeafRequest(spec.mount, issuer_name, spec.role, csr, ttl)
        leaf = await self._signed(request, left)
        return TlsMaterial(
            chain_pem=leaf.strip() + "\n" + _issuer_pem(spec, issuer),
            key_pem=key,
            trust_pem=_trust(spec, desired),
            issuer=issuer_name,
            not_before=certificates.not_before(leaf),
            not_after=certificates.not_after(leaf),
            issued_at=now,
            root_pem=desired.anchor_pem,
        )

    async def _signed(self, request: LeafRequest, left: timedelta) -> str:
        """Have it signed; for less time if OpenBao, whose clock may be ahead, has to refuse it."""
        try:
            return await self._issuer.sign_leaf(request)
        except RequestRefusedError:
            shorter = left - self._profile.skew
            if not _LEAST_TTL <= shorter < request.ttl:
                raise
        return await self._issuer.sign_leaf(replace(request, ttl=shorter))


def retrusted(material: TlsMaterial, spec: LeafSpec, desired: DesiredState) -> TlsMaterial:
    """Return ``material`` with the trust of ``desired``."""
    trust_pem, root_pem = _trust(spec, desired), desired.anchor_pem
    return replace(material, trust_pem=trust_pem, root_pem=root_pem)


def _check_chain(trust_pem: str, root_pem: str, now: datetime) -> None:
    try:
        certificates.check_chain(trust_pem, root_pem, now=now)
    except TlsMaterialError as err:
        # What is in use still serves, and another state may be right: ask again later.
        raise UntrustedAnswerError(f"what is to be trusted cannot be: {err}") from err


def _issuer_pem(spec: LeafSpec, issuer: TrustedIssuer) -> str:
    pem = issuer.route_pem if spec.mount == ROUTE_MOUNT else issuer.pem
    return pem.strip() + "\n"


def _trust(spec: LeafSpec, desired: DesiredState) -> str:
    return desired.route_trust_pem if spec.mount == ROUTE_MOUNT else desired.trust_pem
