"""Keys that are changed by hand, rights that change, and a service that is shut out, under load."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from devstack.stack import StackOptions, open_stack
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, METADATA
from svc_core.domain.journal_records import RecordKind, instant_of
from svc_core.errors import AccessDeniedError
from tests.e2e.commands import command
from tests.e2e.loaded_stack import LoadedStack, records
from tests.e2e.outsider import ACCEPTED
from tests.e2e.stolen import logged_in, open_theft
from tests.e2e.waiting import until
from tests.integration.background import in_background

REACHES_WITHIN: Final = timedelta(seconds=2)
"""From an edited manifest to the bundle in use."""
ENDS_WITHIN: Final = timedelta(seconds=10)
"""From the order to the last message that is accepted."""
QUIET_S: Final = 3.0
TOPIC: Final = "audit.trail"
PARTIES: Final = (GATEKEEPER, AUTHCONTROLLER)


@contextmanager
def loaded(root: Path) -> Iterator[LoadedStack]:
    """Boot the stack in ``root``, or boot it again, and put it under load."""
    said: list[str] = []
    with ExitStack() as resources:
        options = StackOptions(root, "demo")
        stack = LoadedStack(
            resources.enter_context(in_background(lambda: open_stack(options, said.append)))
        )
        stack.order_load("revocation")
        yield stack


def events(stack: LoadedStack, service: str, *, since: datetime) -> list[dict[str, Any]]:
    """Return what a service has logged since an instant."""
    lines = stack.layout.log_of(service).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [event for event in found if datetime.fromisoformat(event["ts"]) >= since]


@asynccontextmanager
async def ordered(stack: LoadedStack, *words: str) -> AsyncIterator[dict[str, Any]]:
    """Give an order to the end and yield what the command printed."""
    arguments = [*words, "--json", "--var", str(stack.layout.root)]
    notes = stack.layout.root.parent / "-".join(words)
    async with command("securetransport", *arguments, notes=notes) as running:
        code = await running.ended(within_s=60)
        document = json.loads(running.output.read_text() or "null")
        assert code == 0, (document, running.errors.read_text())
        yield document


async def adoption(
    stack: LoadedStack, changed: Callable[[], None], services: tuple[str, ...]
) -> timedelta:
    """Change something; return how long it took until each service used another bundle."""
    began = datetime.now(UTC)
    changed()
    adopted: dict[str, datetime] = {}

    def all_have() -> bool:
        for service in services:
            for event in events(stack, service, since=began):
                if event["event"] == "bundle.adopted":
                    adopted.setdefault(service, datetime.fromisoformat(event["ts"]))
        return len(adopted) == len(services)

    await until(all_have, within_s=10, what=lambda: f"a bundle for each, only {adopted}")
    return max(adopted.values()) - began


def edited(stack: LoadedStack, before: str, after: str) -> Callable[[], None]:
    """Return what replaces a text of the manifest, as an editor does: whole and at once."""

    def edit() -> None:
        path = stack.layout.acl_file
        text = path.read_text()
        assert before in text
        fresh = path.with_suffix(".new")
        fresh.write_text(text.replace(before, after))
        fresh.rename(path)

    return edit


@pytest.mark.timeout(300)
async def test_keys_and_rights_change_within_two_seconds_and_nothing_is_lost(root: Path) -> None:
    with loaded(root) as stack:
        order = stack.order
        assert order is not None
        await stack.answers_again(order, after=datetime.now(UTC))
        async with ordered(stack, "rotate", "keys") as result:
            adopted = result["outcome"]["adoption"]["adopted"]
            assert {name.partition("/")[0] for name in adopted} == set(PARTIES)
            for ids in result["outcome"]["topic_keys"].values():
                assert ids[0].endswith(".1")

        sends, hears = (
            "publish:\n      - auth.auth-request",
            "subscribe:\n      - auth.auth-request",
        )
        granting = edited(stack, sends, f"{sends}\n      - {TOPIC}")
        granted = await adoption(stack, granting, (GATEKEEPER,))
        hearing = edited(stack, hears, f"{hears}\n      - {TOPIC}")
        heard = await adoption(stack, hearing, PARTIES[1:])
        assert not rolled(stack, TOPIC)
        losing = edited(stack, f"{hears}\n      - {TOPIC}", hears)
        withdrawn = await adoption(stack, losing, PARTIES)

        print(f"granted {granted}, heard {heard}, withdrawn {withdrawn}")  # noqa: T201
        assert max(granted, heard, withdrawn) <= REACHES_WITHIN
        assert rolled(stack, TOPIC)
        stack.order_load("afterwards")
        traffic = await stack.account(order)
        assert not traffic.lost
        assert not traffic.rejected


def rolled(stack: LoadedStack, topic: str) -> list[dict[str, Any]]:
    """Return the rolls of the key of one topic alone."""
    found = events(stack, METADATA, since=datetime.min.replace(tzinfo=UTC))
    return [e for e in found if e["event"] == "keys.rolled" and e["topics"] == [topic]]


def last_accepted(stack: LoadedStack, *, since: datetime) -> datetime | None:
    """Return when the last request was accepted since an instant."""
    handled = [
        instant_of(record.at_ns)
        for record in records(stack.layout, since=since)
        if record.kind is RecordKind.HANDLED
    ]
    return max(handled, default=None)


@pytest.mark.timeout(300)
async def test_a_revoked_service_is_out_within_ten_seconds_and_back_when_it_is_lifted(
    root: Path, tmp_path: Path
) -> None:
    with loaded(root) as stack:
        assert stack.order is not None
        await stack.answers_again(stack.order, after=datetime.now(UTC))
        async with open_theft(stack, tmp_path) as theft:
            ordered_at = datetime.now(UTC)
            async with ordered(stack, "revoke", GATEKEEPER) as result:
                outcome = result["outcome"]
            accepted = last_accepted(stack, since=ordered_at)
            assert outcome["servers_verified"]
            assert (outcome["secret_ids_destroyed"], outcome["tokens_revoked"] >= 1) == (1, True)
            assert [name.partition("/")[0] for name in outcome["identities_refused"]] == [
                GATEKEEPER
            ]
            await until(
                lambda: theft.is_cut,
                within_s=5,
                what="the end of what was connected with its certificate",
            )
            assert await theft.refusals() == [ACCEPTED] * 3, "the certificate itself still stands"
            assert await denied(stack)
        done_at = datetime.now(UTC)
        await until(
            lambda: datetime.now(UTC) - done_at > timedelta(seconds=QUIET_S),
            within_s=2 * QUIET_S,
            what="a while in which something could still be accepted",
        )
        assert accepted is not None
        print(f"last accepted after {accepted - ordered_at}")  # noqa: T201
        assert accepted - ordered_at <= ENDS_WITHIN
        assert last_accepted(stack, since=ordered_at) == accepted

        async with ordered(stack, "unrevoke", GATEKEEPER) as lifted:
            assert lifted["outcome"]["identities_refused"] == outcome["identities_refused"]
        assert await denied(stack), "its credentials are still those that were destroyed"

    for left in (root / GATEKEEPER / "state").iterdir():
        left.unlink()
    with loaded(root) as stack:
        assert stack.order is not None
        await stack.answers_again(stack.order, after=datetime.now(UTC))
        served = [e["to"] for e in events(stack, METADATA, since=done_at) if "to" in e]
        assert not set(served) & set(outcome["identities_refused"])


async def denied(stack: LoadedStack) -> bool:
    """Say whether OpenBao refuses what Gatekeeper has on disk."""
    try:
        async with logged_in(stack, GATEKEEPER):
            return False
    except AccessDeniedError:
        return True
