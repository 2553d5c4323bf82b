"""Metadata's part, played step by step: real issuers, and signed versions when the test says so.

With the authority's own loop a rotation takes as long as its profile says; here every version is
stored by hand, so that what is measured is Watcher's part alone.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from devstack.identities import METADATA_INSTANCE
from devstack.openbao_api import OpenBaoApi
from svc_core.crypto import contexts
from svc_core.crypto.certificates import not_after
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.desired import DesiredState, TrustedIssuer
from svc_core.domain.identity import METADATA
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import DESIRED_PATH
from svc_core.flows.statements import Author
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from tests.integration.bare_stack import GRANTS, PROFILE, ReachableOpenBao, make_intermediate

_NEVER_TRUSTED: Final = DesiredState(0, PROFILE.name, "", (), "", GRANTS, (), datetime.now(UTC))


@dataclass(slots=True)
class StepwiseAuthority:
    """The one who says what is wanted."""

    openbao: ReachableOpenBao
    desired: DesiredState = _NEVER_TRUSTED

    async def make_issuer(self, epoch: int) -> TrustedIssuer:
        """Make both issuers of one epoch in OpenBao."""
        name = f"ca-{epoch}-1"
        async with self.openbao.logged_in(METADATA) as session:
            pem = await make_intermediate(session, "nats_int", name)
            route_pem = await make_intermediate(session, "nats_route", name)
        return TrustedIssuer(name, epoch, pem, route_pem, not_after(pem))

    async def want(self, *trusted: TrustedIssuer, active: TrustedIssuer) -> DesiredState:
        """Store the next version: who is trusted, newest first, and who signs."""
        async with self.openbao.logged_in(METADATA) as session:
            self.desired = replace(
                self.desired,
                version=self.desired.version + 1,
                active=active.name,
                issuers=trusted,
                root_pem=self.desired.root_pem or await _root(session),
                made_at=datetime.now(UTC),
            )
            document = await self._author().sign(
                desired_wire.encode(self.desired), context=contexts.DESIRED_STATE
            )
            body = {"data": documents.encode_entry(document)}
            await session.write(f"secret/data/{DESIRED_PATH}", body)
        return self.desired

    def _author(self) -> Author:
        seed = self.openbao.layout.service(METADATA) / "state" / "identity.seed"
        signer = Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(seed.read_bytes()))
        return Author(METADATA_INSTANCE, signer)


async def _root(session: OpenBaoApi) -> str:
    answer = await session.read("pki/cert/ca")
    return str(answer["data"]["certificate"]).strip() + "\n"
