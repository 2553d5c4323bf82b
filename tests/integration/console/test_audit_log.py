"""The audit log in a real OpenBao: written with Metadata's rights, verified with the operator's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.audit_log import show_log, verify_log
from devstack.layout import Layout
from services.metadata.domain.audit import AuditPolicy, Note
from services.metadata.flows.audit_keeping import AuditLog, entry_path
from svc_core.adapters.openbao import open_openbao
from svc_core.adapters.openbao_kv import OpenBaoSecretStore
from svc_core.adapters.system_clock import SystemClock
from svc_core.crypto import contexts
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.audit import NO_ENTRY, AuditHead
from svc_core.domain.identity import METADATA
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.subjects import DESIRED_PATH
from svc_core.errors import AccessDeniedError
from svc_core.flows.statements import Author
from svc_core.wire import desired as desired_wire
from svc_core.wire import documents
from tests.builders import make_desired
from tests.integration.background import in_background
from tests.integration.bare_stack import RunningOpenBao, open_bare_openbao

pytestmark = pytest.mark.integration

NOTE = Note("keys.issued", "epoch 7", {"topics": "2"})
POLICY = AuditPolicy(every=4, kept=8)


@pytest.fixture(scope="module")
def openbao(server_root: Path) -> Iterator[RunningOpenBao]:
    """An OpenBao of this module's own, whose log is tampered with."""
    with in_background(lambda: open_bare_openbao(server_root / "audit")) as running:
        yield running


def author_of(layout: Layout) -> Author:
    seed = SecretBytes((layout.service(METADATA) / "state" / "identity.seed").read_bytes())
    return Author("metadata-1", Signer.from_seed(Algorithm.ML_DSA_87, seed))


async def say(store: OpenBaoSecretStore, author: Author, head: AuditHead) -> None:
    body = desired_wire.encode(make_desired(version=7, audit=head))
    document = await author.sign(body, context=contexts.DESIRED_STATE)
    await store.store(DESIRED_PATH, documents.encode_entry(document), expected_version=None)


async def test_what_metadata_writes_the_operator_verifies(
    openbao: RunningOpenBao, capsys: pytest.CaptureFixture[str]
) -> None:
    layout, author = openbao.layout, author_of(openbao.layout)
    async with open_openbao(openbao.settings(METADATA), METADATA) as session:
        store = OpenBaoSecretStore(session)
        first, second = (AuditLog(store, author, SystemClock(), policy=POLICY) for _ in range(2))

        for log in (first, second):
            log.anchor(NO_ENTRY, limit=0)
        # Two processes in turn: whoever is second with a number is refused, and goes on behind it.
        for log in (first, second) * 10:
            head = await log.append(NOTE)
            first.anchor(AuditHead(), limit=head.number)
            second.anchor(AuditHead(), limit=head.number)
        await say(store, author, head)

        capsys.readouterr()
        assert await verify_log(layout.root, url="", as_json=True) == 0
        whole = json.loads(capsys.readouterr().out)
        assert whole["whole"]
        assert whole["first"] > 1
        assert (whole["last"], whole["head"]["number"]) == (head.number, head.number)

        with pytest.raises(AccessDeniedError):
            await store.store(entry_path(head.number), {"entry": "other"}, expected_version=1)

        missing = head.number - 2
        await store.remove(entry_path(missing))
        assert await verify_log(layout.root, url="", as_json=False) == 1
        assert f"first bad entry: {missing}, missing" in capsys.readouterr().out

    assert await show_log(layout.root, url="", last=5, as_json=False) == 0
    shown = capsys.readouterr().out
    assert "keys.issued" in shown
    assert "topics: 2" in shown
