"""The benchmark of the alerts: daily series go through the real rules, and an attack is what it says."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.alerts_rules import firing
from benchmarks.alerts_series import Daily
from benchmarks.alerts_world import NEW_TERMINALS, moved
from fraud.clock import DAY_US

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)"
)
NAN = float("nan")


def shown(*values: float, alarm: float = 0.05) -> Daily:
    """A champion's decay by day, from day 10 on."""
    daily = Daily(range(10, 10 + len(values)))
    decay = (("bound", "lower"), ("figure", "recall"), ("model", "card"), ("window", "28d"))
    daily.values["fraud_realised_decay", decay] = np.array(values)
    daily.values["fraud_alarm_threshold", (("alarm", "decay"),)] = np.full(len(values), alarm)
    return daily


@needs_promtool
def test_an_alert_fires_on_the_days_its_rule_says(tmp_path: Path) -> None:
    assert firing(shown(NAN, 0.02, 0.06, 0.07, 0.01), tmp_path) == {"FraudDecay": [12, 13]}


@needs_promtool
def test_nothing_fires_where_nothing_is_wrong(tmp_path: Path) -> None:
    assert firing(shown(NAN, 0.02, 0.04, 0.04), tmp_path) == {}
    assert firing(shown(0.06, 0.06, alarm=0.07), tmp_path) == {}


def test_an_attack_moves_fraud_to_terminals_that_had_none_and_only_from_its_day_on() -> None:
    rng, rows = np.random.default_rng(3), 40_000
    before = pl.DataFrame(
        {
            "event_time_us": np.sort(rng.integers(0, 20 * DAY_US, rows)),
            "entity_merchant": rng.integers(0, 500, rows),
        }
    ).with_columns(is_fraud=(pl.col("entity_merchant") < 10))
    after = moved(1.0)(before, 12)
    late = before["event_time_us"] >= 12 * DAY_US
    assert before.filter(~late).equals(after.filter(~late))
    frauds = after.filter(late & after["is_fraud"])
    assert frauds["entity_merchant"].min() >= 10  # type: ignore[operator]
    assert frauds["entity_merchant"].n_unique() <= NEW_TERMINALS
    assert len(frauds) == pytest.approx(int(before.filter(late)["is_fraud"].sum()), rel=0.2)
    half = moved(0.5)(before, 12).filter(late)
    known = half.filter(pl.col("is_fraud") & (pl.col("entity_merchant") < 10))
    assert len(known) == pytest.approx(len(frauds) / 2, rel=0.2)
