"""The benchmark of the monitoring: what a scrape holds does not grow with history."""

from prometheus_client import CollectorRegistry

from benchmarks.monitoring import Size, computed, retrainer_registry, scorer_registry, scraped


def series(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def test_a_year_of_history_has_no_more_series_than_a_week() -> None:
    assert series(retrainer_registry(weeks=52)) == series(retrainer_registry(weeks=1)) < 3_000
    assert series(scorer_registry()) < 3_000


def test_a_row_says_what_was_scraped_and_what_was_computed() -> None:
    row, median = scraped("retrainer", retrainer_registry(weeks=1), 2)
    assert row["series"] == series(retrainer_registry(weeks=1))
    assert 0 < median <= row["slowest ms"] + 0.01
    assert computed(Size(1, 2_000, 5))["what"] == "figures of one subject, 2,000 payments, 5 rounds"
