import pytest
from prometheus_client import CollectorRegistry

from services.watcher.flows import reload_metrics
from services.watcher.flows.reload_metrics import ReloadMetrics


@pytest.mark.parametrize(
    "names",
    [
        (reload_metrics.RELOADS, reload_metrics.RELOADS_SUCCESS, reload_metrics.RELOADS_FAILED),
        (reload_metrics.PODS, reload_metrics.PODS_SUCCESS, reload_metrics.PODS_FAILED),
    ],
    ids=["alerts", "metrics"],
)
def test_reloads_are_counted_by_outcome_under_both_names(names: tuple[str, ...]) -> None:
    registry = CollectorRegistry()
    metrics = ReloadMetrics(registry)

    metrics.reloaded(error="")
    metrics.reloaded(error="")
    metrics.reloaded(error="no answer")

    assert [registry.get_sample_value(name) for name in names] == [3, 2, 1]
