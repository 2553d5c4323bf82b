"""A command is begun under its own name, in its own time, and not otherwise."""

from datetime import timedelta

import pytest

from svc_core.domain.operator_command import (
    LONGEST_LIFE,
    REVOKE,
    CommandExpiredError,
    CommandFutureError,
    CommandReplayedError,
    OperatorCommand,
    check_command,
)
from svc_core.errors import SvcError
from tests.builders import NOW

SKEW = timedelta(seconds=5)
MINUTE = timedelta(minutes=1)
MOMENT = timedelta(microseconds=1)


def command(issued: timedelta = timedelta(0), life: timedelta = MINUTE) -> OperatorCommand:
    return OperatorCommand("c-1", REVOKE, {}, NOW + issued, NOW + issued + life)


@pytest.mark.parametrize(
    "good",
    [
        pytest.param(command(), id="just given"),
        pytest.param(command(SKEW), id="by a clock that is as fast as may be"),
        pytest.param(command(MOMENT - MINUTE), id="in its last moment"),
        pytest.param(command(life=LONGEST_LIFE), id="for the longest time"),
    ],
)
def test_a_command_is_good_for_its_time(good: OperatorCommand) -> None:
    check_command(good, name="c-1", now=NOW, skew=SKEW)


@pytest.mark.parametrize(
    ("bad", "name", "error"),
    [
        pytest.param(command(), "c-2", CommandReplayedError, id="under another name"),
        pytest.param(command(-MINUTE), "c-1", CommandExpiredError, id="when its time is over"),
        pytest.param(
            command(life=LONGEST_LIFE + MOMENT), "c-1", CommandExpiredError, id="good for too long"
        ),
        pytest.param(command(SKEW + MOMENT), "c-1", CommandFutureError, id="from the future"),
    ],
)
def test_other_commands_are_refused(bad: OperatorCommand, name: str, error: type[SvcError]) -> None:
    with pytest.raises(error):
        check_command(bad, name=name, now=NOW, skew=SKEW)
