from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from svc_core.domain.bundle import ServiceBundle, check_bundle
from svc_core.domain.identity import AUTHCONTROLLER, GATEKEEPER, ServiceName
from svc_core.domain.keys import KeyRing
from svc_core.errors import (
    BundleExpiredError,
    BundleRecipientError,
    BundleRollbackError,
    Disposition,
    ProfileMismatchError,
    SvcError,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIFE = timedelta(hours=1)


def empty_ring(service: ServiceName) -> KeyRing:
    return KeyRing.of(service, signing=[], verify=[], topics=[], permissions=[], producers={})


GOOD = ServiceBundle(
    service=GATEKEEPER,
    version=7,
    key_epoch=1,
    profile="testing",
    created_at=NOON,
    expires_at=NOON + LIFE,
    ring=empty_ring(GATEKEEPER),
)


def check(bundle: ServiceBundle, *, newest_version: int = 7, now: datetime = NOON) -> None:
    check_bundle(
        bundle, service=GATEKEEPER, profile="testing", newest_version=newest_version, now=now
    )


@pytest.mark.parametrize("newest_version", [0, 6, 7])
def test_a_bundle_of_this_or_a_newer_version_is_accepted(newest_version: int) -> None:
    check(GOOD, newest_version=newest_version)


def test_a_bundle_is_accepted_until_the_moment_it_expires() -> None:
    check(GOOD, now=NOON + LIFE - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("bundle", "newest_version", "now", "error"),
    [
        pytest.param(
            replace(GOOD, service=AUTHCONTROLLER), 7, NOON, BundleRecipientError, id="for another"
        ),
        pytest.param(
            replace(GOOD, ring=empty_ring(AUTHCONTROLLER)),
            7,
            NOON,
            BundleRecipientError,
            id="keys of another",
        ),
        pytest.param(
            replace(GOOD, profile="demo"), 7, NOON, ProfileMismatchError, id="another profile"
        ),
        pytest.param(GOOD, 8, NOON, BundleRollbackError, id="rollback"),
        pytest.param(GOOD, 7, NOON + LIFE, BundleExpiredError, id="freeze"),
    ],
)
def test_each_wrong_has_its_own_error(
    bundle: ServiceBundle, newest_version: int, now: datetime, error: type[SvcError]
) -> None:
    with pytest.raises(error):
        check(bundle, newest_version=newest_version, now=now)


def test_a_wrong_profile_ends_the_process_and_names_both() -> None:
    with pytest.raises(ProfileMismatchError, match="'testing' here but 'demo'") as caught:
        check(replace(GOOD, profile="demo"))

    assert caught.value.disposition is Disposition.FATAL
