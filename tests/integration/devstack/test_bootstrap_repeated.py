"""The bootstrap when it is not the first: nothing to do, something changed, or interrupted."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.layout import Layout, metadata_replicas
from devstack.openbao_files import OpenBaoFiles
from svc_core.domain.identity import GATEKEEPER, METADATA
from svc_core.errors import AccessDeniedError, SvcError
from tests.integration.bare_stack import open_bare_openbao


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "var"


async def test_a_second_start_keeps_every_credential(root: Path) -> None:
    async with open_bare_openbao(root) as first:
        before = first.settings(GATEKEEPER).secret_id_file.read_text()
    async with open_bare_openbao(root) as second, second.logged_in(GATEKEEPER):
        after = second.settings(GATEKEEPER).secret_id_file.read_text()

    assert after == before


async def test_a_changed_set_up_is_applied_and_the_way_to_root_closed_again(root: Path) -> None:
    async with open_bare_openbao(root):
        pass
    files = OpenBaoFiles(Layout.at(root).openbao)
    wanted = files.bootstrap_mark.read_text()
    files.bootstrap_mark.write_text(json.dumps({"spec": "of an earlier version"}))

    async with open_bare_openbao(root) as openbao, openbao.logged_in(GATEKEEPER) as session:
        with pytest.raises(SvcError):
            await session.call("PUT", "sys/generate-root/attempt", {})

    assert files.bootstrap_mark.read_text() == wanted


async def test_a_lost_secret_id_is_made_again(root: Path) -> None:
    async with open_bare_openbao(root) as openbao:
        lost = openbao.settings(GATEKEEPER).secret_id_file
    lost.unlink()

    async with open_bare_openbao(root) as openbao, openbao.logged_in(GATEKEEPER):
        assert lost.stat().st_mode & 0o777 == 0o600


async def test_a_further_replica_gets_a_secret_id_of_its_own_later_too(root: Path) -> None:
    async with open_bare_openbao(root) as alone:
        first = alone.layout.secret_id(METADATA).read_text()

    async with open_bare_openbao(root, replicas=2) as openbao:
        second = openbao.layout.secret_id("metadata-2")
        assert openbao.layout.secret_id(METADATA).read_text() == first != second.read_text()
        for replica in metadata_replicas(2):
            async with openbao.logged_in(replica) as session:
                found = await session.read("auth/token/lookup-self")
                assert found["data"]["meta"]["role_name"] == METADATA


async def test_a_start_interrupted_before_the_unseal_key_was_kept_begins_anew(root: Path) -> None:
    async with open_bare_openbao(root):
        pass
    files = OpenBaoFiles(Layout.at(root).openbao)
    files.unseal_key.unlink()
    files.bootstrap_mark.unlink()

    async with open_bare_openbao(root) as openbao, openbao.logged_in(GATEKEEPER):
        assert files.unseal_key.exists()


async def test_a_lost_unseal_key_of_a_finished_stack_is_an_error(root: Path) -> None:
    async with open_bare_openbao(root):
        pass
    OpenBaoFiles(Layout.at(root).openbao).unseal_key.unlink()

    with pytest.raises(SvcError) as refusal:
        async with open_bare_openbao(root):
            pass

    assert refusal.value.code == "stack.damaged"
    assert not isinstance(refusal.value, AccessDeniedError)
