"""What counts as growing, and what does not."""

from collections.abc import Callable

import pytest

from console.soak_trends import (
    LEAST_SAMPLES,
    SETTLED_AFTER,
    TOLERANCES,
    quantile,
    theil_sen,
    trend,
    trends,
)

ROTATIONS = 100
LOOKED_AT = ROTATIONS - SETTLED_AFTER
MIB = 1 << 20


def over(value: Callable[[int], float], name: str = "issuers/pki") -> list[dict[str, float]]:
    return [{name: value(number)} for number in range(ROTATIONS)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("issuers/nats_int", lambda n: 2 + n % 2, id="up and down"),
        pytest.param("documents/transport/keys", lambda n: 60 + n % 20, id="cut off now and then"),
        pytest.param("documents/transport/audit", lambda n: 10 * n, id="an audit log"),
        pytest.param("files/metadata", lambda n: 90 if n == 50 else 12, id="one odd sample"),
        pytest.param("memory/metadata", lambda n: (90 + 0.05 * n) * MIB, id="a little memory"),
        pytest.param("versions/keys", lambda n: 9 - n / 20, id="fewer and fewer"),
        pytest.param("keys/pki", lambda n: n if n < SETTLED_AFTER else 10, id="filling at first"),
        pytest.param("bytes/log", lambda n: n * MIB, id="kept on purpose"),
        pytest.param(
            "threads/n3", lambda n: 11 + (n >= 60) + (n >= 74), id="two steps of the two allowed"
        ),
    ],
)
def test_what_stays_within_its_bounds_is_flat(name: str, value: Callable[[int], float]) -> None:
    (found,) = trends(over(value, name))

    assert found.is_flat, found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("issuers/nats_int", lambda n: 2 + n // 20, id="an issuer every 20 rotations"),
        pytest.param("documents/transport/keys", lambda n: 4 + n, id="one that is never removed"),
        pytest.param("descriptors/watcher", lambda n: 20 + n / 25, id="a descriptor now and then"),
        pytest.param("memory/metadata", lambda n: (90 + 0.2 * n) * MIB, id="200 KiB a rotation"),
        pytest.param("tokens", lambda n: 7 + n // 10 + n % 3, id="a leak under noise"),
    ],
)
def test_what_grows_is_found(name: str, value: Callable[[int], float]) -> None:
    (found,) = trends(over(value, name))

    assert not found.is_flat, found


def test_growth_is_the_slope_over_what_was_looked_at() -> None:
    (found,) = trends(over(lambda n: 4.0 + n, "documents/keys"))

    assert (found.first, found.last) == (4.0 + SETTLED_AFTER, 4.0 + ROTATIONS - 1)
    assert (found.slope, found.growth) == (1.0, LOOKED_AT - 1)
    assert found.allowed == pytest.approx(0.05 * found.median)


def test_a_short_run_is_shown_and_not_judged() -> None:
    samples = [{"tokens": float(n)} for n in range(LEAST_SAMPLES - 1)]

    (found,) = trends(samples)

    assert (found.slope, found.allowed, found.is_flat) == (1.0, None, True)
    assert found.first == 0.0, "nothing is left out"


@pytest.mark.parametrize(
    ("limit", "is_flat"),
    [pytest.param(10, True, id="the store's limit"), pytest.param(11, False, id="beyond it")],
)
def test_versions_may_grow_up_to_what_the_store_keeps_of_each_document(
    limit: int, is_flat: bool
) -> None:
    samples = [
        {"documents/claims/watcher": 2.0, "versions/claims/watcher": min(2.0 * limit, 0.25 * n)}
        for n in range(ROTATIONS)
    ]

    versions = next(t for t in trends(samples) if t.name.startswith("versions"))

    assert versions.is_flat is is_flat, versions


def test_what_is_missing_counts_as_none() -> None:
    samples = over(lambda _: 1.0, "documents/commands")
    del samples[40]["documents/commands"]

    (found,) = trends(samples)

    assert found.median == 1.0


def test_every_judged_kind_bears_a_name_of_its_own() -> None:
    assert trend("bytes/n1", [1.0, 9.0]).allowed is None
    assert all(trend(f"{kind}/x", [1.0]).allowed is not None for kind in TOLERANCES)


def test_nothing_to_look_at_is_an_error() -> None:
    with pytest.raises(ValueError, match="no value"):
        trend("tokens", [])


@pytest.mark.parametrize(
    ("values", "slope"),
    [
        pytest.param([], 0.0, id="nothing"),
        pytest.param([3.0], 0.0, id="one"),
        pytest.param([1.0, 3.0, 5.0], 2.0, id="a line"),
        pytest.param([1.0, 1.0, 99.0, 1.0, 1.0], 0.0, id="one far off"),
    ],
)
def test_the_slope(values: list[float], slope: float) -> None:
    assert theil_sen(values) == slope


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([], 0.95, None, id="nothing"),
        pytest.param([7.0], 0.95, 7.0, id="one"),
        pytest.param([float(n) for n in range(100, 0, -1)], 0.95, 95.0, id="95 of 100"),
        pytest.param([3.0, 1.0, 2.0], 1.0, 3.0, id="the largest"),
        pytest.param([3.0, 1.0, 2.0], 0.5, 2.0, id="the middle"),
    ],
)
def test_quantiles_by_nearest_rank(
    values: list[float], share: float, expected: float | None
) -> None:
    assert quantile(values, share) == expected
