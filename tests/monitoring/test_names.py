"""The table of metrics: names follow the rules, registries hold it and nothing else, labels are bounded."""

import re
from collections.abc import Iterable, Mapping, Sequence

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family

from fraud.monitoring.metrics import Catalogue
from fraud.monitoring.names import METRICS, Metric, Process, metrics_of
from fraud.monitoring.retrainer_metrics import BUCKETS as RETRAINER_BUCKETS
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.monitoring.scorer_metrics import BUCKETS as SCORER_BUCKETS
from fraud.monitoring.scorer_metrics import ScorerMetrics
from tests.monitoring.test_metrics import scorer

UNITS = (
    *("_seconds", "_bytes", "_rows", "_info", "_position", "_waiting", "_events", "_frauds", "_labels"),
    *("_versions", "_minor", "_listings", "_findings", "_ratio", "_share", "_drift", "_value", "_result"),
    *("_votes", "_entities", "_retrains", "_trigger"),
)
STATES = (
    *("_enabled", "_frozen", "_running", "_active", "_holds", "_champion", "_in_force", "_threshold"),
    *("_refused", "_max", "_missing", "_serving"),
)
FIGURES = re.compile(r"(.*_)?(score|precision|recall|value_detection|gain|decay|quality|lag_events)")
BUCKETS: dict[Process, Mapping[str, Sequence[float]]] = {
    "scorer": SCORER_BUCKETS,
    "retrainer": RETRAINER_BUCKETS,
}


def registries() -> list[tuple[Process, CollectorRegistry]]:
    return [
        ("scorer", ScorerMetrics(["card"], ["analyst"]).registry),
        ("retrainer", RetrainerMetrics().registry),
    ]


def own(families: Iterable[Family]) -> dict[str, Family]:
    return {family.name: family for family in families if not family.name.startswith("process_")}


@pytest.mark.parametrize("metric", METRICS, ids=lambda it: it.name)
def test_every_name_follows_the_rules(metric: Metric) -> None:
    assert re.fullmatch(r"(fraud|grpc_server)_[a-z0-9_]+", metric.name)
    assert not metric.name.endswith("_total")
    assert not re.search(r"_(ms|us|millis|minutes|hours|days|percent)(_|$)", metric.name)
    assert metric.text
    assert not metric.text.endswith(".")
    assert all(re.fullmatch(r"[a-z_]+", label) and label != "le" for label in metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)
    if metric.kind != "counter":
        assert metric.name.endswith((*UNITS, *STATES)) or FIGURES.fullmatch(metric.name)
    # Versions come and go without end: one live series each, under a name that says so.
    assert ("version" in metric.labels) == metric.name.endswith("_info")


def test_no_name_stands_twice_and_none_is_the_series_of_another() -> None:
    series = [name for metric in METRICS for name in metric.series]
    assert len(set(series)) == len(series)


@pytest.mark.parametrize(("process", "registry"), registries(), ids=["scorer", "retrainer"])
def test_a_registry_holds_the_table_and_nothing_else(process: Process, registry: CollectorRegistry) -> None:
    families = own(registry.collect())
    assert set(families) == {metric.name for metric in metrics_of(process)}
    for metric in metrics_of(process):
        family = families[metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.text)
        for sample in family.samples:
            assert sample.name in metric.series
            assert set(sample.labels) - {"le"} == set(metric.labels)


def test_a_touched_registry_still_holds_the_table() -> None:
    for name, family in own(scorer().registry.collect()).items():
        (metric,) = (it for it in metrics_of("scorer") if it.name == name)
        assert {label for it in family.samples for label in it.labels} - {"le"} <= set(metric.labels)


@pytest.mark.parametrize("process", ["scorer", "retrainer"])
def test_a_metric_that_the_table_lacks_cannot_be_asked_for(process: Process) -> None:
    catalogue = Catalogue(process, BUCKETS[process])
    with pytest.raises(KeyError):
        catalogue.gauge("fraud_made_up")
    histograms = {metric.name for metric in metrics_of(process) if metric.kind == "histogram"}
    assert histograms == BUCKETS[process].keys()
