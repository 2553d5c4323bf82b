"""The operator's commands for dead letters, as a person runs them on a real stack."""

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest

from devstack.stack import Stack, StackOptions, open_stack
from svc_core.domain.identity import GATEKEEPER
from svc_core.domain.subjects import AUTH_REQUEST
from tests.e2e.commands import command
from tests.e2e.outsider import Identity, connected, tls_context
from tests.e2e.waiting import until
from tests.integration.background import in_background

MESSAGES: Final = 3
WITHIN_S: Final = 20.0


class Operator:
    """Runs ``securetransport dead-letters`` and reads what it prints."""

    def __init__(self, stack: Stack, notes: Path) -> None:
        self._root = stack.layout.root
        self._notes = notes
        self._calls = 0

    async def says(self, *arguments: str, expected: int = 0) -> Any:
        code, text = await self.run(*arguments, "--json")
        assert code == expected, text
        return json.loads(text)

    async def run(self, *arguments: str) -> tuple[int, str]:
        self._calls += 1
        told = ("dead-letters", *arguments, "--var", str(self._root))
        async with command(
            "securetransport", *told, notes=self._notes / f"call-{self._calls}"
        ) as running:
            code = await running.ended(within_s=WITHIN_S)
            return code, running.output.read_text()

    async def letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.says("list"))["letters"]
        return found

    async def has(self, count: int) -> bool:
        return len(await self.letters()) == count


async def publish_nonsense(stack: Stack) -> None:
    """Publish with Gatekeeper's own leaf what AuthController can only refuse."""
    tls = stack.layout.service(GATEKEEPER) / "tls"
    context = tls_context(stack.layout.trust_file, Identity(tls / "cert.pem", tls / "key.pem"))
    async with connected(stack.endpoints.nats[0].url, context, GATEKEEPER) as gatekeeper:
        for number in range(MESSAGES):
            headers = {"Nats-Msg-Id": f"nonsense-{os.getpid()}-{number}"}
            answer = await gatekeeper.client.request(
                AUTH_REQUEST, b"nonsense %d" % number, timeout=3, headers=headers
            )
            assert "error" not in json.loads(answer.data)


@pytest.mark.timeout(180)
async def test_letters_are_listed_shown_replayed_once_and_removed(
    root: Path, tmp_path: Path
) -> None:
    with in_background(lambda: open_stack(StackOptions(root, "demo"), lambda _: None)) as stack:
        operator = Operator(stack, tmp_path)
        assert await operator.letters() == []
        await publish_nonsense(stack)
        await until(lambda: operator.has(MESSAGES), within_s=WITHIN_S, what="the letters")
        newest, *_, oldest = await operator.letters()
        shown = await operator.says("show", str(oldest["id"]))
        _, text = await operator.run("show", str(oldest["id"]))
        first = await operator.says("replay", str(oldest["id"]))
        await until(lambda: operator.has(MESSAGES + 1), within_s=WITHIN_S, what="a new letter")
        second = await operator.says("replay", str(oldest["id"]), expected=1)
        unasked, _ = await operator.run("purge", "--all")
        one = await operator.says("purge", str(newest["id"]), "--yes")
        rest = await operator.says("purge", "--code", "message.malformed", "--yes")
        left = await operator.letters()
        missing, _ = await operator.run("show", str(oldest["id"]))

    assert (oldest["service"], oldest["code"]) == ("authcontroller", "message.malformed")
    assert bytes.fromhex(shown["payload_start_hex"]) == b"nonsense 0"
    assert "next: find out who published it" in text
    assert first["letters"][0]["outcome"] == "replayed"
    assert second["letters"][0]["outcome"] == "replay.already_done"
    assert (unasked, missing) == (1, 1)
    assert (one["removed"], rest["removed"], left) == (1, MESSAGES, [])
