"""No quorum of NATS, an issuer that is distrusted, an instance that does not follow: under load.

A run of the suite takes one of all rotation faults, drawn by ``CHAOS_SEED``; ``CHAOS_ALL=1``
takes every one.
"""

import asyncio
import os
import signal
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from svc_core.crypto import contexts
from svc_core.crypto.certificates import fingerprint
from svc_core.crypto.signing import Algorithm, Signer
from svc_core.domain.identity import GATEKEEPER, METADATA, InstanceName
from svc_core.domain.secrets import SecretBytes
from svc_core.domain.status import InstanceStatus
from svc_core.domain.subjects import identity_path, status_key
from svc_core.flows.statements import Author
from svc_core.wire import documents
from svc_core.wire import status as status_wire
from tests.chaos.rotation_story import (
    AWAY_S,
    GOES_ON_WITHIN,
    PERIOD_S,
    after_a_boundary,
    at,
    chosen,
    ordered,
    ordering,
    seconds,
    unharmed_load,
)
from tests.e2e.loaded_stack import LoadedStack
from tests.e2e.outsider import UNKNOWN_CA
from tests.e2e.stolen import Theft, logged_in, open_theft
from tests.e2e.waiting import until

TAINTED_WITHIN: Final = timedelta(seconds=10)
CUT_WITHIN: Final = timedelta(seconds=5)
"""From the activation to the end of the connections of who was not waited for."""
SILENT: Final = InstanceName("silent")
LOST: Final = ("n2", "n3")
"""Nodes whose absence leaves no quorum."""


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("_case", chosen(["no quorum"]))
async def test_without_a_quorum_of_nats_the_rotation_holds_and_goes_on_when_it_is_back(
    rotating_stack: LoadedStack, _case: str, tmp_path: Path
) -> None:
    stack = rotating_stack
    async with unharmed_load(stack, "quorum", tmp_path):
        story = await after_a_boundary(stack)

        for node in LOST:
            stack.stack.kill(node, signal.SIGSTOP)
        try:
            async with ordering(stack, tmp_path / "order", "rotate", "ca") as running:
                staged = await story.saw(METADATA, "issuer.staged", within_s=20)
                await asyncio.sleep(AWAY_S)
                assert not story.events(METADATA, "issuer.activated")
                await running.ended(within_s=60)
        finally:
            for node in LOST:
                stack.stack.kill(node, signal.SIGCONT)
        returned_at = datetime.now(UTC)
        activated = await story.saw(METADATA, "issuer.activated", within_s=40)

        took = at(activated) - returned_at
        print(f"quorum back: active after {seconds(took)}")  # noqa: T201
        assert took <= GOES_ON_WITHIN
        assert activated["issuer"] == staged["issuer"]


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize("_case", chosen(["taint"]))
async def test_a_tainted_issuer_is_used_by_nobody_within_ten_seconds_of_the_order(
    rotating_stack: LoadedStack, _case: str, tmp_path: Path
) -> None:
    stack = rotating_stack
    async with unharmed_load(stack, "taint", tmp_path):
        story = await after_a_boundary(stack)
        tainted = str((await story.outlook())["active"])

        async with open_theft(stack, tmp_path, issuer_name=tainted) as theft:
            ordered_at = datetime.now(UTC)
            await ordered(stack, tmp_path / "taint", "taint", tainted)
            await until(
                lambda: theft.is_cut,
                within_s=30,
                what="the end of what was connected with its leaf",
                every_s=0.02,
            )
            ended_at = datetime.now(UTC)

            async def all_refuse() -> bool:
                return await theft.refusals() == [UNKNOWN_CA] * 3

            await until(all_refuse, within_s=30, what="every server refusing its leaf")
            refused_at = datetime.now(UTC)
        took = max(ended_at, refused_at) - ordered_at
        print(  # noqa: T201
            f"taint: connections ended after {seconds(ended_at - ordered_at)}, "
            f"refused everywhere after {seconds(refused_at - ordered_at)}"
        )
        assert took <= TAINTED_WITHIN


@dataclass(slots=True)
class SilentInstance:
    """An instance of Gatekeeper that says that it lives, and follows nothing."""

    theft: Theft
    author: Author
    version: int

    async def speak(self) -> None:
        """Say it once a second for ever, over whichever of its connections is left."""
        leaf = fingerprint(self.theft.stolen.certificate.read_text())
        while True:
            status = InstanceStatus(
                GATEKEEPER,
                SILENT,
                boot_id="boot-1",
                sent_at=datetime.now(UTC),
                version=self.version,
                issuer=self.theft.issuer.name,
                key_epoch=0,
                profile="demo",
                leaf=leaf,
            )
            document = await self.author.sign(
                status_wire.encode(status), context=contexts.INSTANCE_STATUS
            )
            for connection in self.theft.connections:
                if not connection.client.is_closed:
                    subject = status_key(GATEKEEPER, SILENT)
                    await connection.client.publish(subject, documents.encode(document))
                    break
            await asyncio.sleep(1.0)


async def registered(stack: LoadedStack) -> Author:
    """Register the silent instance, as Gatekeeper's AppRole may."""
    signer = Signer.from_seed(Algorithm.ML_DSA_87, SecretBytes(os.urandom(32)))
    author = Author(f"{GATEKEEPER}/{SILENT}", signer)
    identity = {
        "algorithm": Algorithm.ML_DSA_87.value,
        "public": b64encode(author.public).decode(),
    }
    async with logged_in(stack, GATEKEEPER) as session:
        path = f"secret/data/{identity_path(GATEKEEPER, SILENT)}"
        await session.write(path, {"data": identity, "options": {"cas": 0}})
    return author


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("_case", chosen(["silent instance"]))
async def test_who_is_silent_holds_the_activation_to_the_deadline_and_is_cut_then(
    rotating_stack: LoadedStack, _case: str, tmp_path: Path
) -> None:
    stack = rotating_stack
    async with unharmed_load(stack, "silence", tmp_path):
        story = await after_a_boundary(stack)
        seen = await story.outlook()
        author = await registered(stack)

        async with open_theft(stack, tmp_path, issuer_name=seen["active"]) as theft:
            silent = SilentInstance(theft, author, int(seen["version"]))
            async with asyncio.TaskGroup() as group:
                speaking = group.create_task(silent.speak())
                reason = await story.held_by(f"{GATEKEEPER}/{SILENT}", within_s=2 * PERIOD_S)
                activated = await story.saw(METADATA, "issuer.activated", within_s=3 * PERIOD_S)
                await until(
                    lambda: theft.is_cut,
                    within_s=15,
                    what="the end of the connections of who was silent",
                    every_s=0.02,
                )
                cut_at = datetime.now(UTC)
                speaking.cancel()
        print(  # noqa: T201
            f"silent instance: held ({reason}), active without it, cut after "
            f"{seconds(cut_at - at(activated))}"
        )
        assert activated["cut"] >= 1
        assert cut_at - at(activated) <= CUT_WITHIN
