"""The doctor on a living deployment: what it tries is refused, and nobody is harmed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.doctor_cases import CASES, Shown
from devstack.layout import NODES, SERVICES
from tests.e2e.commands import command
from tests.e2e.loaded_stack import LoadedStack

NOT_HERE = {
    (node, case.name)
    for node in (*SERVICES, *NODES)
    for case in CASES
    if case.shows is Shown.NOT_YET_VALID or (case.shows is Shown.STRANGER and node in NODES)
}
"""OpenBao issues no certificate that begins later, and none whose name is no NATS user."""


@pytest.mark.timeout(180)
async def test_everything_that_must_be_refused_is_refused_everywhere(
    stack: LoadedStack, tmp_path: Path
) -> None:
    assert stack.order is not None
    began = datetime.now(UTC)

    arguments = ("doctor", "--var", str(stack.layout.root), "--json")
    async with command("securetransport", *arguments, notes=tmp_path) as doctor:
        code = await doctor.ended(within_s=90)
        document = json.loads(doctor.output.read_text())

    findings = document["findings"]
    not_tried = {(f["target"], f["tried"]) for f in findings if f["verdict"] == "not tried"}
    unexpected = [f for f in findings if f["verdict"] not in {"not tried", "as expected"}]
    assert (code, unexpected) == (0, []), json.dumps(unexpected, indent=1)
    assert document["sound"] is True
    assert {f["target"] for f in findings} == {*SERVICES, *NODES}
    assert not_tried == NOT_HERE
    await stack.answers_again(stack.order, after=began)
