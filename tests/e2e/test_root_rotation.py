"""Another root by order, under load, and the former one put away.

A run of the suite takes one of the trust modes, drawn by ``CHAOS_SEED``; ``CHAOS_ALL=1`` both.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from svc_core.domain.desired import TrustMode
from svc_core.domain.identity import METADATA
from tests.chaos.selection import NOT_DRAWN, selected
from tests.e2e.commands import command
from tests.e2e.loaded_stack import BRISK, LoadedStack, open_loaded_stack
from tests.e2e.waiting import until

CALLED = "SecureTransport "
SIGNS_WITHIN_S = 30.0
FOLLOWS_WITHIN_S = 90.0
LEAVES_WITHIN_S = 150.0
"""Three CA periods at most until the last issuer of the former root is retired, and a margin."""


DRAWN = selected(list(TrustMode), 1)
MODES = [pytest.param(m, marks=() if m in DRAWN else NOT_DRAWN) for m in TrustMode]


@pytest.fixture(params=MODES, ids=str)
def stack(request: pytest.FixtureRequest, root: Path) -> Iterator[LoadedStack]:
    """A stack of the test's own, in one of the two modes."""
    del root  # only says that no other stack runs meanwhile
    with open_loaded_stack(profile=BRISK, trust_mode=request.param) as loaded:
        yield loaded


@pytest.mark.timeout(360)
async def test_another_root_signs_and_the_former_one_goes_while_nobody_notices(
    stack: LoadedStack, tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    load = stack.order_load("roots")
    assert root_names(stack) == ["root"]

    await order(stack, tmp_path, "rotate", "root")
    await until(
        lambda: "root-2" in told(stack, "root.activated", since=began),
        within_s=SIGNS_WITHIN_S,
        what="root-2 signing",
    )
    assert root_names(stack) == ["root-2", "root"]
    assert servers_trust(stack) == (
        {"root", "root-2"} if stack.stack.options.trust_mode is TrustMode.CHAIN else set()
    )
    await until(
        lambda: signer_of_the_active_issuer(stack) == "root-2",
        within_s=FOLLOWS_WITHIN_S,
        what="an active issuer of root-2",
    )
    await until(
        lambda: root_names(stack) == ["root-2"],
        within_s=LEAVES_WITHIN_S,
        what="the end of the first root",
    )
    await until(
        lambda: told(stack, "root.removed", since=began) == ["root"],
        within_s=5,
        what="its key's deletion",
    )

    stack.order_load("standing")
    traffic = await stack.account(load)
    assert traffic.acked
    assert not traffic.duplicated
    assert not traffic.unasked
    assert told(stack, "root.refused", since=began) == []


async def order(stack: LoadedStack, notes: Path, *words: str) -> None:
    """Give an order to the end."""
    arguments = [*words, "--json", "--var", str(stack.layout.root)]
    async with command("securetransport", *arguments, notes=notes / "-".join(words)) as running:
        assert await running.ended(within_s=60) == 0, running.errors.read_text()


def told(stack: LoadedStack, name: str, *, since: datetime) -> list[str]:
    """Return the roots that Metadata's events of one name are about."""
    events = [json.loads(line) for line in stack.layout.log_of(METADATA).read_text().splitlines()]
    return [
        str(event.get("root"))
        for event in events
        if event["event"] == name and datetime.fromisoformat(event["ts"]) >= since
    ]


def certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def name_of(name: x509.Name) -> str:
    """Return what the name says of itself; the first root was called by hand."""
    text: Any = name.rfc4514_string().removeprefix("CN=")
    return str(text).removeprefix(CALLED) if text != f"{CALLED}Root CA" else "root"


def root_names(stack: LoadedStack) -> list[str]:
    return [name_of(c.subject) for c in certificates(stack.layout.trust / "root.pem")]


def servers_trust(stack: LoadedStack) -> set[str]:
    """Return the roots that every NATS server trusts; those of all are the same."""
    trusted = [
        {
            name_of(certificate.subject)
            for certificate in certificates(Path(node.live_dir) / "ca.pem")
            if certificate.subject == certificate.issuer
        }
        for node in stack.stack.endpoints.nats
    ]
    assert trusted[1:] == trusted[:-1]
    return trusted[0]


def signer_of_the_active_issuer(stack: LoadedStack) -> str:
    """Return the root behind what a NATS server shows now."""
    node = stack.stack.endpoints.nats[0]
    issuer = certificates(Path(node.live_dir) / "server.pem")[1]
    return name_of(issuer.issuer)
