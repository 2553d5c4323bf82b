"""What OpenBao makes for us holds where RFC 5280 is taken to the letter, as newer Pythons do."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import pytest

from services.metadata.adapters.issuer_mint import OpenBaoIssuerMint
from services.metadata.adapters.pki_engine import PkiEngine
from services.metadata.adapters.root_mint import OpenBaoRootMint
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_leaves import OpenBaoCertificateIssuer
from svc_core.adapters.system_clock import SystemClock
from svc_core.domain.desired import DesiredState, TrustedIssuer, TrustMode
from svc_core.domain.identity import METADATA, Deployment
from svc_core.domain.tls import TlsMaterial
from svc_core.flows.leaf_issuing import LeafIssuing, LeafSpec
from tests.builders import make_desired, make_surroundings
from tests.integration.bare_stack import PROFILE, RunningOpenBao
from tests.integration.svc_core.interpreters import (
    Interpreter,
    in_memory,
    newest_python,
    this_python,
)

CLIENT: Final = LeafSpec(METADATA, uris=(Deployment().spiffe_id(METADATA),))
SERVER: Final = LeafSpec(f"{METADATA}-admin", dns=("localhost",), server=True)


@dataclass(frozen=True)
class Leaves:
    client: TlsMaterial
    server: TlsMaterial


@asynccontextmanager
async def issuing(openbao: RunningOpenBao) -> AsyncIterator[tuple[PkiEngine, LeafIssuing]]:
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        around = replace(make_surroundings(SystemClock()), profile=PROFILE)
        yield PkiEngine(session), LeafIssuing(OpenBaoCertificateIssuer(session), around)


async def leaves_under(openbao: RunningOpenBao, root: str, issuer: str) -> Leaves:
    """Return leaves of a new issuer under a root, all of them made by OpenBao."""
    async with issuing(openbao) as (pki, leaves):
        roots = OpenBaoRootMint(pki, PROFILE)
        made = await (roots.fetch(root) if root == "root" else roots.make(root))
        minted = await OpenBaoIssuerMint(pki, PROFILE, SystemClock()).mint(issuer, root)
        trusted = TrustedIssuer(issuer, 1, minted.pem, minted.route_pem, minted.not_after)
        desired: DesiredState = make_desired(
            active=issuer, issuers=(trusted,), root_pem=made.pem, trust_mode=TrustMode.CHAIN
        )
        return Leaves(
            await leaves.issue(CLIENT, desired, issuer), await leaves.issue(SERVER, desired, issuer)
        )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("find", [this_python, newest_python], ids=["this Python", "newest Python"])
@pytest.mark.parametrize("root", ["root", "root-31"], ids=["the first root", "a later root"])
async def test_every_certificate_is_as_the_standard_says(
    openbao: RunningOpenBao, root: str, find: Callable[[], Interpreter]
) -> None:
    python = find()
    made = await leaves_under(openbao, root, f"ca-{root}-9")

    outcomes = python.attempt(
        [
            in_memory(made.client, made.server, strict=True),
            in_memory(made.client, made.server, strict=True, classical=True),
            in_memory(made.client, made.server, classical=True),
        ]
    )

    assert outcomes == ["", "", ""]
