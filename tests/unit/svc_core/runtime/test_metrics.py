import pytest
from prometheus_client import CollectorRegistry

from svc_core.runtime.metrics import (
    CLIENT_LAST_UPDATE,
    CLIENT_RELOADS,
    CLIENT_RELOADS_FAILED,
    CLIENT_RELOADS_SUCCESS,
    KEY_EPOCH,
    READY,
    RotationMetrics,
    StateReadings,
    export_state,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_moves_are_counted_by_outcome(registry: CollectorRegistry) -> None:
    metrics = RotationMetrics(registry)

    metrics.moved(issuer="ca-7-1", duration_s=0.1)
    metrics.moved(issuer="ca-8-2", duration_s=0.1)
    metrics.failed()

    assert registry.get_sample_value(CLIENT_RELOADS) == 3
    assert registry.get_sample_value(CLIENT_RELOADS_SUCCESS) == 2
    assert registry.get_sample_value(CLIENT_RELOADS_FAILED) == 1
    assert registry.get_sample_value(CLIENT_LAST_UPDATE) == 8


def test_an_issuer_without_epoch_leaves_the_epoch_as_it_was(registry: CollectorRegistry) -> None:
    metrics = RotationMetrics(registry)
    metrics.uses("ca-7-1")

    metrics.uses("bootstrap")

    assert registry.get_sample_value(CLIENT_LAST_UPDATE) == 7
    assert registry.get_sample_value("st_issuer_info", {"issuer": "bootstrap"}) == 1


def test_gauges_are_read_when_they_are_scraped(registry: CollectorRegistry) -> None:
    epoch = [1.0]
    export_state(registry, StateReadings(lambda: 4, lambda: epoch[0], lambda: 0, lambda: 30))

    epoch[0] = 2.0

    assert registry.get_sample_value(KEY_EPOCH) == 2
    assert registry.get_sample_value(READY) == 0
