"""Metadata's policy is enough for a root's whole life in a real OpenBao, and for nothing more."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from services.metadata.adapters.issuer_mint import OpenBaoIssuerMint
from services.metadata.adapters.pki_engine import PkiEngine
from services.metadata.adapters.root_mint import OpenBaoRootMint
from services.metadata.ports import MintedRoot
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.system_clock import SystemClock
from svc_core.crypto.certificates import check_chain
from svc_core.domain.identity import METADATA
from svc_core.errors import AccessDeniedError, NotFoundError
from tests.integration.background import in_background
from tests.integration.bare_stack import PROFILE, RunningOpenBao, open_bare_openbao

CLOCK = SystemClock()
MAKE = "pki/issuers/generate/root/internal"
GOOD: Mapping[str, object] = {"common_name": "x", "key_type": "ec", "key_bits": 256}


@pytest.fixture(scope="module")
def openbao(server_root: Path) -> Iterator[RunningOpenBao]:
    """An OpenBao of this module's own, since the last test deletes its first root."""
    with in_background(lambda: open_bare_openbao(server_root / "roots")) as running:
        yield running


@dataclass(frozen=True)
class Bench:
    pki: PkiEngine
    roots: OpenBaoRootMint
    issuers: OpenBaoIssuerMint


@asynccontextmanager
async def at_work(openbao: RunningOpenBao) -> AsyncIterator[Bench]:
    """Yield both mints under Metadata's own token."""
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        pki = PkiEngine(session)
        issuers = OpenBaoIssuerMint(pki, PROFILE, SystemClock())
        yield Bench(pki, OpenBaoRootMint(pki, PROFILE), issuers)


async def test_a_root_is_made_once_and_its_key_stays_inside(openbao: RunningOpenBao) -> None:
    async with at_work(openbao) as bench:
        made = await bench.roots.make("root-11")
        again = await bench.roots.make("root-11")
        keys = await bench.pki.read("pki/key/root-11")

    certificate = x509.load_pem_x509_certificate(made.pem.encode())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert made == again
    assert (constraints.ca, constraints.path_length) == (True, 1)
    assert certificate.subject.rfc4514_string() == "CN=SecureTransport root-11"
    assert abs(made.not_after - CLOCK.now() - PROFILE.root_validity) < timedelta(minutes=5)
    assert "key_id" in (keys or {})
    assert "private_key" not in (keys or {})


async def test_a_root_that_was_interrupted_after_its_key_gets_that_key(
    openbao: RunningOpenBao,
) -> None:
    async with at_work(openbao) as bench:
        before = await bench.roots.make("root-12")
        # As after a crash of OpenBao between the two writes: the key is there, the issuer is not.
        await bench.pki.delete("pki/issuer/root-12")

        after = await bench.roots.make("root-12")

    assert public(before) == public(after)
    assert before.pem != after.pem


def public(root: MintedRoot) -> object:
    return x509.load_pem_x509_certificate(root.pem.encode()).public_key()


async def test_issuers_are_signed_by_the_root_they_are_planned_under(
    openbao: RunningOpenBao,
) -> None:
    async with at_work(openbao) as bench:
        former, following = await bench.roots.fetch("root"), await bench.roots.make("root-13")

        old = await bench.issuers.mint("ca-13-1", "root")
        new = await bench.issuers.mint("ca-13-2", "root-13")
        same = await bench.issuers.mint("ca-13-2", "root")

    assert same == new
    for pem in (old.pem, old.route_pem):
        check_chain(pem, former.pem, now=CLOCK.now())
    for pem in (new.pem, new.route_pem):
        check_chain(pem, following.pem, now=CLOCK.now())
    assert abs(new.not_after - CLOCK.now() - PROFILE.ca.validity) < timedelta(minutes=5)


async def test_no_issuer_outlives_its_root(openbao: RunningOpenBao) -> None:
    async with at_work(openbao) as bench:
        body = {"common_name": "short", "issuer_name": "root-14", "ttl": "90s"}
        key = {"key_name": "root-14", "key_type": "ec", "key_bits": 256}
        await bench.pki.write(MAKE, {**body, **key})
        root = await bench.roots.fetch("root-14")

        issuer = await bench.issuers.mint("ca-14-1", "root-14")

        assert issuer.not_after <= root.not_after
        with pytest.raises(NotFoundError, match="no root called root-99"):
            await bench.issuers.mint("ca-14-2", "root-99")
        gone = OpenBaoIssuerMint(bench.pki, PROFILE, _Ahead(timedelta(seconds=85)))
        with pytest.raises(NotFoundError, match="the life of root-14 is over"):
            await gone.mint("ca-14-3", "root-14")


@dataclass(frozen=True)
class _Ahead(SystemClock):
    by: timedelta

    def now(self) -> datetime:
        return super().now() + self.by


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("pki/issuers/generate/root/exported", GOOD, id="with the key in the answer"),
        pytest.param(MAKE, {**GOOD, "key_type": "rsa"}, id="another kind of key"),
        pytest.param(MAKE, {**GOOD, "alt_names": "a.example"}, id="a name nobody asked for"),
        pytest.param(MAKE, {**GOOD, "not_after": "9999-12-31T23:59:59Z"}, id="an end of its own"),
        pytest.param("pki/issuer/root", {"issuer_name": "mine"}, id="another name for the root"),
        pytest.param("pki/issuers/import/bundle", {"pem_bundle": ""}, id="a root from elsewhere"),
        pytest.param("pki/root/sign-intermediate", {}, id="the default root's signature"),
    ],
)
async def test_metadata_makes_roots_of_one_kind_only(
    openbao: RunningOpenBao, path: str, body: Mapping[str, object]
) -> None:
    async with openbao.logged_in(METADATA) as session:
        with pytest.raises(AccessDeniedError):
            await session.write(path, body)


async def test_the_first_root_is_deleted_key_and_all_and_the_others_go_on(
    openbao: RunningOpenBao,
) -> None:
    async with at_work(openbao) as bench:
        following = await bench.roots.make("root-15")

        first = await bench.roots.fetch("root")
        issuer = await bench.issuers.mint("ca-15-1", "root")

        for _ in range(2):
            await bench.roots.remove("root", first.key)

        with pytest.raises(NotFoundError):
            await bench.roots.fetch("root")
        with pytest.raises(NotFoundError):
            await bench.issuers.mint("ca-15-2", "root")
        assert await bench.pki.read(f"pki/key/{first.key}") is None
        after = await bench.issuers.mint("ca-15-3", "root-15")
        following_that = await bench.roots.make("root-16")

    check_chain(after.pem + after.route_pem, following.pem, now=CLOCK.now())
    # What it signed before lives on: trust in it ends by the trusted set alone.
    check_chain(issuer.pem, first.pem, now=CLOCK.now())
    assert following_that.not_after > after.not_after


async def test_a_root_whose_removal_was_interrupted_loses_its_key_all_the_same(
    openbao: RunningOpenBao,
) -> None:
    async with at_work(openbao) as bench:
        root = await bench.roots.make("root-17")
        await bench.pki.delete("pki/issuer/root-17")

        await bench.roots.remove("root-17", root.key)

        assert await bench.pki.read("pki/key/root-17") is None
