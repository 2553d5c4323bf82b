"""Material is adopted whole, in memory and on disk, or not at all."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from svc_core.adapters.system_clock import SystemClock
from svc_core.adapters.tls_contexts import client_context, server_context, trusting_context
from svc_core.adapters.tls_identity import TlsIdentity
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.tls import LeafNames, TlsMaterial, TlsState
from svc_core.errors import TlsMaterialError
from tests.authority import without_threads
from tests.fakes.clock import LoopClock
from tests.fakes.memory_certificate_issuer import make_intermediate
from tests.tls_materials import HOST, SOMEONE, make_material, new_issuer, shake_hands

ISSUER = new_issuer()
OTHER = new_issuer("ca-2-1")
LONG_AGO = SystemClock().now() - timedelta(minutes=10)


@pytest.fixture
def identity(tmp_path: Path) -> TlsIdentity:
    return TlsIdentity(SystemClock(), server_context, server=True, link=tmp_path / "tls")


def on_disk(directory: Path) -> tuple[str, bytes]:
    link = directory / "tls"
    return (link / "cert.pem").read_text(), (link / "key.pem").read_bytes()


def test_before_the_first_there_is_none(identity: TlsIdentity) -> None:
    assert identity.material is None
    with pytest.raises(TlsMaterialError, match="no certificate yet"):
        _ = identity.context


async def test_adopted_material_is_in_use_and_on_disk(
    identity: TlsIdentity, tmp_path: Path
) -> None:
    material = make_material(ISSUER, server=True)

    await identity.adopt(material)

    assert identity.material is material
    assert on_disk(tmp_path) == (material.chain_pem, material.key_pem.reveal())
    shake_hands(trusting_context(ISSUER.pem), identity.context)


async def test_only_a_new_leaf_is_written_to_disk(identity: TlsIdentity, tmp_path: Path) -> None:
    material = make_material(ISSUER, server=True)
    await identity.adopt(material)

    await identity.adopt(replace(material, trust_pem=ISSUER.pem + OTHER.pem))

    assert versions(tmp_path) == ["1"]


def versions(directory: Path) -> list[str]:
    return sorted(p.name for p in (directory / "tls.d").iterdir())


BAD: dict[str, Callable[[TlsMaterial], TlsMaterial]] = {
    "another key": lambda m: replace(m, key_pem=make_material(ISSUER).key_pem),
    "key cut off": lambda m: replace(m, key_pem=SecretBytes(m.key_pem.reveal()[:-40])),
    "chain cut off": lambda m: replace(m, chain_pem=m.chain_pem[:-40]),
    "trust cut off": lambda m: replace(m, trust_pem=m.trust_pem + m.trust_pem[:-40]),
    "no trust": lambda m: replace(m, trust_pem=""),
    "issuer not trusted": lambda m: replace(m, trust_pem=OTHER.pem),
    "expired": lambda _: make_material(ISSUER, server=True, now=LONG_AGO, ttl=timedelta(minutes=1)),
    "not valid yet": lambda _: make_material(
        ISSUER, server=True, now=LONG_AGO + timedelta(minutes=30)
    ),
    "a client's": lambda _: make_material(ISSUER),
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
async def test_bad_material_is_refused_and_the_old_stays(
    identity: TlsIdentity, tmp_path: Path, spoil: Callable[[TlsMaterial], TlsMaterial]
) -> None:
    good = make_material(ISSUER, server=True)
    await identity.adopt(good)
    context, hot = identity.context, await identity.hot_context()

    with pytest.raises(TlsMaterialError):
        await identity.adopt(spoil(make_material(ISSUER, server=True)))

    assert identity.material is good
    assert identity.context is context
    assert on_disk(tmp_path)[0] == good.chain_pem
    shake_hands(trusting_context(ISSUER.pem), hot)


async def test_a_refused_first_leaves_nothing_behind(identity: TlsIdentity, tmp_path: Path) -> None:
    with pytest.raises(TlsMaterialError):
        await identity.adopt(make_material(ISSUER))

    assert identity.material is None
    assert not (tmp_path / "tls").exists()


async def test_the_hot_context_waits_for_the_first_and_follows_every_later_one(
    identity: TlsIdentity,
) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(identity.hot_context())
        await asyncio.sleep(0)
        assert not waiting.done()
        await identity.adopt(make_material(ISSUER, server=True))
    hot = waiting.result()

    await identity.adopt(make_material(OTHER, server=True))

    assert await identity.hot_context() is hot
    shake_hands(trusting_context(OTHER.pem), hot)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(trusting_context(ISSUER.pem), hot)


async def test_a_context_is_a_new_one_after_every_adoption() -> None:
    identity = TlsIdentity(SystemClock(), client_context, server=False)
    await identity.adopt(make_material(ISSUER))
    first = identity.context

    await identity.adopt(make_material(ISSUER))

    assert identity.context is not first


async def test_health_counts_what_was_taken_and_what_was_refused(identity: TlsIdentity) -> None:
    nothing = identity.health
    await identity.adopt(make_material(ISSUER, server=True))
    good = identity.health
    with pytest.raises(TlsMaterialError):
        await identity.adopt(make_material(ISSUER))
    refused = identity.health
    await identity.adopt(make_material(ISSUER, server=True))
    mended = identity.health

    assert [h.state for h in (nothing, good, refused, mended)] == [
        TlsState.EXPIRED,
        TlsState.OK,
        TlsState.DEGRADED,
        TlsState.OK,
    ]
    assert [(h.generation, h.failures) for h in (nothing, good, refused, mended)] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 1),
    ]
    assert refused.last_error == "the certificate is not for a server"
    assert (nothing.last_error, mended.last_error) == ("no certificate yet", "")
    assert good.issuer == ISSUER.name
    assert identity.remaining_s() == pytest.approx(1800, abs=5)


async def test_the_same_bytes_again_change_nothing(identity: TlsIdentity) -> None:
    material = make_material(ISSUER, server=True)
    await identity.adopt(material)
    context = identity.context

    await identity.adopt(replace(material, issued_at=material.issued_at + timedelta(minutes=1)))

    assert identity.context is context
    assert identity.health.generation == 1
    assert identity.material is not None
    assert identity.material.issued_at == material.issued_at + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("names", "server"),
    [
        pytest.param(LeafNames(("spiffe://d/ns/n/sa/other",)), False, id="another user"),
        pytest.param(LeafNames(dns=("elsewhere",)), True, id="another host"),
    ],
)
async def test_a_certificate_for_another_name_is_refused(names: LeafNames, server: bool) -> None:
    build = server_context if server else client_context
    identity = TlsIdentity(SystemClock(), build, server=server, names=names)

    with pytest.raises(TlsMaterialError, match=r"is (not )?for"):
        await identity.adopt(make_material(ISSUER, server=server))

    assert identity.material is None


async def test_a_certificate_for_the_right_names_is_taken() -> None:
    client = TlsIdentity(SystemClock(), client_context, server=False, names=LeafNames((SOMEONE,)))
    server = TlsIdentity(
        SystemClock(), server_context, server=True, names=LeafNames((), (HOST,), ("127.0.0.1",))
    )

    await client.adopt(make_material(ISSUER))
    await server.adopt(make_material(ISSUER, server=True))

    shake_hands(client.context, server.context)


async def test_the_handshake_in_memory_knows_no_other_time_than_the_clock() -> None:
    without_threads()
    clock = LoopClock()
    identity = TlsIdentity(clock, client_context, server=False)
    issuer = make_intermediate("ca-1-1", now=clock.now(), life=timedelta(hours=1))

    await identity.adopt(make_material(issuer, now=clock.now()))

    assert identity.health.state is TlsState.OK


async def test_a_context_that_would_not_serve_is_not_adopted() -> None:
    def without_certificate(_material: TlsMaterial) -> ssl.SSLContext:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    identity = TlsIdentity(SystemClock(), without_certificate, server=True)

    with pytest.raises(TlsMaterialError, match="handshake in memory"):
        await identity.adopt(make_material(ISSUER, server=True))
