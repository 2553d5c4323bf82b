"""In mode ``chain`` material is adopted only when trusted roots signed all that it trusts."""

from dataclasses import replace

import pytest

from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import server_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.errors import TlsMaterialError
from tests.fakes.memory_certificate_issuer import make_issuer_under, make_root
from tests.tls_materials import LIFE, make_material, new_issuer

NOW = SystemClock().now()
ROOT, OTHER_ROOT = (make_root(name, now=NOW, life=LIFE) for name in ("root", "root-2"))
ISSUER = make_issuer_under(ROOT, "ca-1-1", now=NOW, life=LIFE)
MATERIAL = make_material(ISSUER, server=True)


@pytest.fixture
def identity() -> TlsIdentity:
    return TlsIdentity(SystemClock(), server_context, server=True)


async def test_both_roots_may_be_trusted_while_they_overlap(identity: TlsIdentity) -> None:
    material = replace(MATERIAL, root_pem=OTHER_ROOT.pem + ROOT.pem)

    await identity.adopt(material)

    assert identity.material == material


async def test_another_root_alone_is_refused_and_what_was_in_use_stays(
    identity: TlsIdentity,
) -> None:
    good = replace(MATERIAL, root_pem=ROOT.pem)
    await identity.adopt(good)

    with pytest.raises(TlsMaterialError, match=r"no trusted root signed .*CN=ca-1-1"):
        await identity.adopt(replace(MATERIAL, root_pem=OTHER_ROOT.pem))

    assert (identity.material, identity.health.failures) == (good, 1)


async def test_one_issuer_without_a_root_spoils_the_trusted_set(identity: TlsIdentity) -> None:
    trusted = ISSUER.pem + new_issuer("ca-2-1").pem

    with pytest.raises(TlsMaterialError, match="CN=ca-2-1"):
        await identity.adopt(replace(MATERIAL, trust_pem=trusted, root_pem=ROOT.pem))

    assert identity.material is None
