"""Leaves that are mounted as files, behind the interface of those that are issued on request.

Trust still comes from the desired state alone; a mounted certificate is used only when a trusted
issuer signed it, whoever had it issued.
"""

from datetime import timedelta
from typing import Final

from svc_core.crypto import certificates
from svc_core.domain.desired import DesiredState, TrustedIssuer
from svc_core.domain.tls import TlsMaterial
from svc_core.errors import NotFoundError, TlsMaterialError
from svc_core.flows.leaf_issuing import ROUTE_MOUNT, LeafIssuing, LeafSpec, retrusted
from svc_core.ports.certificates import CertificateIssuer
from svc_core.ports.mounted import MountedCertificates
from svc_core.runtime.surroundings import Surroundings

_LEAST_LEFT: Final = timedelta(seconds=2)


class MountedLeaves(LeafIssuing):
    """Takes the leaf of one role from files and has every other one issued."""

    def __init__(
        self,
        issuer: CertificateIssuer,
        around: Surroundings,
        role: str,
        mounted: MountedCertificates,
    ) -> None:
        """Prepare the source.

        Args:
            issuer: signs the leaves of the other roles.
            around: the clock, and more for the others.
            role: whose leaf is mounted.
            mounted: where it is.
        """
        super().__init__(issuer, around)
        self._role = role
        self._mounted = mounted

    async def issue(self, spec: LeafSpec, desired: DesiredState, issuer_name: str) -> TlsMaterial:
        """Return the mounted leaf, of whichever trusted issuer; for other roles a new one.

        What is mounted cannot be chosen, so ``issuer_name`` only matters to the other roles.

        Raises:
            NotFoundError: nothing is mounted yet, or its life is over.
            TlsMaterialError: it is not whole, or no trusted issuer signed it.
            SecretStoreError, AccessDeniedError: as OpenBao answered, for the other roles.
        """
        if spec.role != self._role:
            return await super().issue(spec, desired, issuer_name)
        pair = await self._mounted.read()
        if pair is None:
            raise NotFoundError(f"no certificate is mounted in {self._mounted.name} yet")
        issuer = _signer(spec, pair.chain_pem, desired)
        now = self._clock.now()
        not_after = certificates.not_after(pair.chain_pem)
        if not_after - now < _LEAST_LEFT:
            raise NotFoundError(f"the certificate in {self._mounted.name} is over")
        issuer_pem = issuer.route_pem if spec.mount == ROUTE_MOUNT else issuer.pem
        material = TlsMaterial(
            chain_pem=certificates.first_of(pair.chain_pem) + issuer_pem.strip() + "\n",
            key_pem=pair.key_pem,
            trust_pem="",
            issuer=issuer.name,
            not_before=certificates.not_before(pair.chain_pem),
            not_after=not_after,
            issued_at=now,
        )
        return retrusted(material, spec, desired)


def _signer(spec: LeafSpec, chain_pem: str, desired: DesiredState) -> TrustedIssuer:
    pems = {
        issuer.name: issuer.route_pem if spec.mount == ROUTE_MOUNT else issuer.pem
        for issuer in desired.issuers
    }
    issuer = desired.issuer(certificates.signer_among(chain_pem, pems))
    if issuer is None:
        raise TlsMaterialError("no trusted issuer signed the mounted certificate")
    return issuer
