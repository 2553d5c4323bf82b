from datetime import UTC, datetime, timedelta

import pytest

from svc_core.domain.identity import WATCHER, InstanceName
from svc_core.domain.status import InstanceStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STATUS = InstanceStatus(
    service=WATCHER,
    instance=InstanceName("watcher-1"),
    boot_id="b",
    sent_at=NOON,
    version=1,
    issuer="ca-7-1",
    key_epoch=7,
    profile="testing",
)


@pytest.mark.parametrize(
    ("age_s", "is_live"),
    [
        pytest.param(0, True, id="just sent"),
        pytest.param(45, True, id="at the limit"),
        pytest.param(45.1, False, id="beyond it"),
        pytest.param(-5, True, id="sent by a clock that is ahead"),
    ],
)
def test_an_instance_is_live_while_its_status_is_young(age_s: float, is_live: bool) -> None:
    now = NOON + timedelta(seconds=age_s)

    assert STATUS.is_live(now, within=timedelta(seconds=45)) is is_live
