"""What watching costs: a scrape with a year of history behind it, and the figures computed between scrapes.

    two models, all subjects, windows, weeks, features and sources, shown anew for each of 52 weeks
      ─▶ both registries over HTTP: milliseconds a scrape, series, bytes
    a made table of matured payments ─▶ figures of one subject over one window, with their intervals

What counting costs the scoring path is measured by `benchmarks.scoring`, in turns with
`FRAUD__MONITORING__COUNTING=false`.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen
from zoneinfo import ZoneInfo

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.report import Bar, Report, finish, parser
from fraud.clock import DAY_US
from fraud.evaluation.resampling import Interval, Sample
from fraud.monitoring.endpoint import serve_metrics
from fraud.monitoring.names import OTHER
from fraud.monitoring.quality import ANSWERED, FIGURES, Cohort, Figures, Judged, QualityRules, figures
from fraud.monitoring.quality_series import show_cohorts, show_decay, show_windows
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.monitoring.scorer_metrics import GRPC_CODES, ScorerMetrics

MODELS = ("card", "transfer")
SUBJECTS = ("decisions", "champion", "first", "shadow_1", "shadow_2")
WINDOWS, COHORTS, FEATURES, WEEKS = (7, 28, 90), 13, 64, 52
METHODS = 24
SOURCES = ("chargeback", "customer", "analyst", "bank", OTHER)
SCRAPE_MS_MAX = 50.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    scrapes: int
    rows: int
    rounds: int


FULL = Size(200, 1_000_000, 100)
QUICK = Size(20, 50_000, 20)


def main() -> int:
    """Measure and print."""
    given = parser("What watching costs: scrapes, and the figures computed between them.").parse_args()
    size = QUICK if given.quick else FULL
    report = Report("monitoring: the cost of a scrape, and of the figures behind it")
    slowest = 0.0
    for name, registry in (("scorer", scorer_registry()), ("retrainer", retrainer_registry(WEEKS))):
        row, median = scraped(name, registry, size.scrapes)
        report.rows.append(row)
        slowest = max(slowest, median)
    report.rows.append(computed(size))
    report.bars = [Bar("scrape with a year of history, ms", slowest, SCRAPE_MS_MAX, at_least=False)]
    return finish(report, given)


def scorer_registry() -> CollectorRegistry:
    """Return a scorer's metrics with every series that two models and all calls can have."""
    metrics = ScorerMetrics(MODELS, SOURCES, ("card", "merchant", "device"))
    for number in range(METHODS):
        call = metrics.call("fraud.v1.ScoringService", f"Method{number}")
        call.started()
        for code in GRPC_CODES:
            call.handled(code, 0.002)
    for model in MODELS:
        metrics.champion(model, f"{model}-52")
        metrics.swap_took(model, 0.2)
        metrics.taint(model, 0)
        metrics.shadows(model, {f"challenger_{i}": f"{model}-{60 + i}" for i in range(8)})
        metrics.shadow_seconds(model, 0.001)
    return metrics.registry


def retrainer_registry(weeks: int) -> CollectorRegistry:
    """Return a retrainer's metrics after so many weeks, each of which shows everything anew."""
    metrics = RetrainerMetrics()
    for week in range(weeks):
        for model in MODELS:
            _show_week(metrics, model, week)
    return metrics.registry


def _show_week(metrics: RetrainerMetrics, model: str, week: int) -> None:
    catalogue = metrics.catalogue
    some = Interval(0.5 + week / 1_000, 0.4, 0.6)
    one = Figures(1_000, 50, 50, 5, 45.0, dict.fromkeys((*FIGURES, *ANSWERED), some))
    found = {(subject, days): one for subject in SUBJECTS for days in WINDOWS}
    gained = {(days, figure): some for days in WINDOWS for figure in ("recall", "average_precision")}
    show_windows(catalogue, model, found, gained, dict.fromkeys(WINDOWS, 3))
    show_decay(catalogue, model, found, {"recall": some, "average_precision": some})
    rules = rules_of(FULL.rounds)
    cohorts = [Cohort(7 * (week - i), 1_000, 50, some, some) for i in range(COHORTS)]
    show_cohorts(catalogue, model, cohorts, cohorts, rules)
    versions = {(subject, f"{model}-{week + i}"): 1.0 for i, subject in enumerate(SUBJECTS)}
    catalogue.show("fraud_quality_subject_info", model, {(*key,): value for key, value in versions.items()})
    catalogue.show("fraud_feature_drift", model, {(f"feature_{i}",): 0.01 for i in range(FEATURES)})
    for name in ("fraud_feed_observed_ratio", "fraud_feed_expected_labels"):
        catalogue.show(name, model, {(source, span): 1.0 for source in SOURCES for span in ("1d", "7d")})
    metrics.retrained(model, "finished", 60.0)
    catalogue.raise_to("fraud_promotions", (model,), week)


def scraped(name: str, registry: CollectorRegistry, scrapes: int) -> tuple[dict[str, Any], float]:
    """Scrape over HTTP; return a row, and the median in milliseconds."""
    server = serve_metrics(registry, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.port}/metrics"
        body, took = b"", []
        for _ in range(scrapes):
            started = time.perf_counter()
            with urlopen(url, timeout=10) as reply:
                body = reply.read()
            took.append((time.perf_counter() - started) * 1e3)
    finally:
        server.close()
    series = sum(1 for line in body.splitlines() if not line.startswith(b"#"))
    median = float(np.median(took))
    return {
        "what": f"scrape of the {name}",
        "series": series,
        "kilobytes": round(len(body) / 1_000, 1),
        "median ms": round(median, 2),
        "slowest ms": round(max(took), 2),
    }, median


def rules_of(rounds: int) -> QualityRules:
    """Return rules at a moment at which 120 days have matured."""
    return QualityRules(ZoneInfo("UTC"), 130 * DAY_US, 10 * DAY_US, WINDOWS, COHORTS, 0.01, rounds)


def computed(size: Size) -> dict[str, Any]:
    """Compute one subject's figures over made payments of 90 days."""
    rng = np.random.default_rng(7)
    rows = size.rows
    is_fraud = rng.random(rows) < 0.002
    sample = Sample(
        is_fraud=is_fraud,
        days=np.sort(rng.integers(30, 120, rows)).astype(np.int32),
        cards=rng.integers(rows // 20, size=rows),
        weights=np.ones(rows),
    )
    seen = np.ones(rows, dtype=np.bool_)
    scores = 1 / (1 + np.exp(6 - 4 * is_fraud - rng.normal(size=rows)))
    amounts, of_rules = rng.random(rows) * 1e4, sample.days[:0]
    table = Judged(sample, amounts, is_fraud, seen, seen, seen, {"champion": scores}, of_rules)
    started = time.perf_counter()
    figures(table, "champion", rules_of(size.rounds))
    took = time.perf_counter() - started
    return {
        "what": f"figures of one subject, {rows:,} payments, {size.rounds} rounds",
        "median ms": round(took * 1e3, 0),
    }


if __name__ == "__main__":
    sys.exit(main())
