"""Metrics: their names follow the rules, their numbers are right, and they can be scraped."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from fraud.monitoring.endpoint import serve_metrics
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.records import LabelValue, Outcome


def scorer(*, counting: bool = True) -> ScorerMetrics:
    """A holder in which every metric has been touched."""
    metrics = ScorerMetrics(["card", "transfer"], ["chargeback", "analyst"], counting=counting)
    call = metrics.call("fraud.v1.ScoringService", "Score")
    call.started()
    call.handled("OK", 0.003)
    metrics.models["card"].decided([Outcome.APPROVE] * 9 + [Outcome.REVIEW], np.linspace(0, 0.9, 10))
    metrics.limit("OUT_OF_RANGE:amount", 2)
    metrics.labelled("chargeback", LabelValue.FRAUD, 3)
    metrics.label_delay("chargeback", np.array([86_400.0, 172_800.0]))
    metrics.champion("card", "card-8")
    metrics.champion_age("card", 60.0)
    metrics.swapped("card", "applied")
    metrics.swap_took("card", 0.2)
    metrics.batch_rows.observe(10)
    metrics.append_seconds.observe(0.0002)
    metrics.log_position.set(12)
    metrics.rolled_back("card")
    metrics.taint("card", 2)
    metrics.awaiting_approval("card", 3)
    metrics.exclusions_in_force(1)
    metrics.explored("card", 2, 300)
    metrics.exploration("card", enabled=True, spent_minor=300, left_minor=700)
    return metrics


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_labels_never_take_values_from_a_request() -> None:
    metrics = scorer()
    before = series(metrics.registry)
    for i in range(50):
        metrics.limit(f"KIND{i}:x")
        metrics.labelled(f"source-{i}", LabelValue.FRAUD)
        metrics.label_delay(f"source-{i}", np.array([1.0]))
        metrics.call("fraud.v1.ScoringService", "Score").handled(f"CODE{i}", 0.1)
        metrics.champion("card", f"card-{i}")
    assert series(metrics.registry) == before
    assert value(metrics.registry, "fraud_limits_total", limit="OTHER") == 50
    assert value(metrics.registry, "fraud_labels_total", source="OTHER", value="FRAUD") == 50


def test_a_new_entity_is_counted_under_its_name() -> None:
    metrics = ScorerMetrics(["card"], ["analyst"], ["card", "merchant"])
    metrics.limit("NEW_MERCHANT")
    assert value(metrics.registry, "fraud_limits_total", limit="NEW_MERCHANT") == 1


def series(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def test_calls_are_counted_under_the_names_dashboards_know() -> None:
    registry = scorer().registry
    method = {
        "grpc_type": "unary",
        "grpc_service": "fraud.v1.ScoringService",
        "grpc_method": "Score",
    }
    assert value(registry, "grpc_server_started_total", **method) == 1
    assert value(registry, "grpc_server_handled_total", **method, grpc_code="OK") == 1
    assert value(registry, "grpc_server_handled_total", **method, grpc_code="INTERNAL") == 0
    assert value(registry, "grpc_server_handling_seconds_count", **method) == 1
    assert value(registry, "grpc_server_handling_seconds_bucket", **method, le="0.0025") is None
    assert value(registry, "grpc_server_handling_seconds_bucket", **method, le="0.003") == 1
    assert value(registry, "grpc_server_handling_seconds_bucket", **method, le="0.002") == 0


def test_decisions_of_a_batch_are_counted_by_outcome_with_their_scores() -> None:
    registry = scorer().registry
    assert value(registry, "fraud_decisions_total", model="card", outcome="APPROVE") == 9
    assert value(registry, "fraud_decisions_total", model="card", outcome="REVIEW") == 1
    assert value(registry, "fraud_decisions_total", model="transfer", outcome="REVIEW") == 0
    assert value(registry, "fraud_score_count", model="card") == 10
    assert value(registry, "fraud_score_sum", model="card") == pytest.approx(4.5)


def test_only_the_version_that_serves_is_shown() -> None:
    metrics = scorer()
    metrics.champion("card", "card-9")
    assert value(metrics.registry, "fraud_champion_info", model="card", version="card-8") is None
    assert value(metrics.registry, "fraud_champion_info", model="card", version="card-9") == 1
    metrics.champion("card", "")
    assert value(metrics.registry, "fraud_champion_info", model="card", version="card-9") is None


def test_what_a_version_may_come_to_is_0_before_its_first_time() -> None:
    registry = ScorerMetrics(["card", "transfer"], ["analyst"]).registry
    for model in ("card", "transfer"):
        for result in ("applied", "refused"):
            assert value(registry, "fraud_swaps_total", model=model, result=result) == 0
        assert value(registry, "fraud_rule_failures_total", model=model) == 0
    metrics = scorer()
    metrics.swapped("card", "refused")
    assert value(metrics.registry, "fraud_swaps_total", model="card", result="refused") == 1


def test_nothing_is_dropped_and_that_is_shown_from_the_start() -> None:
    assert value(ScorerMetrics(["card"], ["analyst"]).registry, "fraud_events_dropped_total") == 0


def test_what_polluted_data_sets_in_motion_is_counted() -> None:
    registry = scorer().registry
    assert value(registry, "fraud_rollbacks_total", model="card") == 1
    assert value(registry, "fraud_tainted_versions", model="card") == 2
    assert value(registry, "fraud_awaiting_approval_versions", model="card") == 3
    assert value(registry, "fraud_exclusions_in_force") == 1


def test_a_finding_of_the_guard_is_shown_until_it_is_gone() -> None:
    metrics = RetrainerMetrics()
    for count in (1, 0):
        metrics.guarded("card", {"silence": count, "gap": 0}, frozen=bool(count))
        assert value(metrics.registry, "fraud_guard_findings", model="card", check="silence") == count
        assert value(metrics.registry, "fraud_retrain_frozen", model="card") == count


def test_a_series_that_is_not_shown_again_ends() -> None:
    catalogue = RetrainerMetrics().catalogue
    catalogue.show("fraud_feature_drift", "card", {("amount",): 0.1, ("mcc",): 0.2})
    catalogue.show("fraud_feature_drift", "transfer", {("amount",): 0.3})
    catalogue.show("fraud_feature_drift", "card", {("amount",): 0.4})
    assert value(catalogue.registry, "fraud_feature_drift", model="card", feature="amount") == 0.4
    assert value(catalogue.registry, "fraud_feature_drift", model="card", feature="mcc") is None
    assert value(catalogue.registry, "fraud_feature_drift", model="transfer", feature="amount") == 0.3


def test_a_total_that_somebody_else_keeps_never_falls() -> None:
    catalogue = RetrainerMetrics().catalogue
    for total in (3, 5, 5, 4):
        catalogue.raise_to("fraud_promotions", ("card",), total)
    assert value(catalogue.registry, "fraud_promotions_total", model="card") == 5


def test_where_nothing_is_counted_every_update_does_nothing() -> None:
    registry = scorer(counting=False).registry
    assert all(family.name.startswith("process_") for family in registry.collect())


def test_the_disk_of_the_data_folder_is_watched(tmp_path: Path) -> None:
    registry = ScorerMetrics(["card"], ["analyst"], data_dir=tmp_path).registry
    free, size = (value(registry, f"fraud_disk_{noun}_bytes") for noun in ("free", "size"))
    assert free is not None
    assert size is not None
    assert 0 < free <= size


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = serve_metrics(scorer().registry, "127.0.0.1", 0)
    assert server.port > 0
    yield f"http://127.0.0.1:{server.port}/metrics"
    server.close()


def test_the_endpoint_is_scraped(endpoint: str) -> None:
    with urlopen(endpoint, timeout=10) as reply:
        families = {family.name: family for family in text_string_to_metric_families(reply.read().decode())}
    assert families["fraud_decisions"].type == "counter"
    assert families["fraud_score"].type == "histogram"
    assert "process_resident_memory_bytes" in families
    edges = [s.labels["le"] for s in families["fraud_batch_rows"].samples if s.name.endswith("_bucket")]
    assert edges[-1] == "+Inf"


def test_closing_frees_the_port_and_again_is_no_error() -> None:
    server = serve_metrics(CollectorRegistry(), "127.0.0.1", 0)
    server.close()
    server.close()
    with pytest.raises(URLError):
        urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", server.port))


def test_metrics_can_be_switched_off() -> None:
    server = serve_metrics(CollectorRegistry(), "127.0.0.1", -1)
    assert server.port == -1
    server.close()


def test_an_update_on_the_scoring_path_costs_microseconds_at_most() -> None:
    """Of this thread's own time, for busy machines; the bound is twenty times what it takes."""
    metrics = scorer()
    call = metrics.call("fraud.v1.ScoringService", "Score")
    for update in (call.started, lambda: call.handled("OK", 0.002), lambda: metrics.batch_rows.observe(3)):
        runs = []
        for _ in range(5):
            started = time.thread_time()
            for _ in range(2_000):
                update()
            runs.append((time.thread_time() - started) / 2_000)
        assert min(runs) < 20e-6
