from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.handbook_data import CONFIG
from benchmarks.pollution import environment_of, set_guard
from benchmarks.pollution_cases import CASES, EXCLUDED, RETRAINED, UNDEFENDED, Plan, Result, report_of
from benchmarks.pollution_feed import SCENARIO, Feed, World
from benchmarks.pollution_quality import Quality, alerts_at, judge
from benchmarks.pollution_remedies import Repair, said
from benchmarks.pollution_service import Place
from fraud.clock import DAY_US
from fraud.guard.finding import CHECKS
from fraud.v1.models_pb2 import CycleVerdict

START_DAY = 20


def _payments() -> pl.DataFrame:
    """A fraud of each scenario and an honest payment at noon of each of forty days."""
    rows = [(day, scenario) for day in range(40) for scenario in (0, 1, 2, 3)]
    return pl.DataFrame(
        {
            "TRANSACTION_ID": range(len(rows)),
            "time_us": [day * DAY_US + DAY_US // 2 for day, _ in rows],
            "TX_FRAUD": [int(scenario > 0) for _, scenario in rows],
            "TX_FRAUD_SCENARIO": [scenario for _, scenario in rows],
        }
    )


def _feed(world: World) -> Feed:
    return Feed(world, _payments(), START_DAY * DAY_US, days=7, outage_from=2)


def _days_of(ids: list[str]) -> list[int]:
    return sorted({int(each) // 4 for each in ids})


def test_chargebacks_bring_every_fraud_of_the_day_seven_days_before() -> None:
    for world in ("clean", "targeted"):
        ids = _feed(world).chargebacks(3)
        assert _days_of(ids) == [START_DAY + 3 - 7]
        assert len(ids) == 3


def test_the_frauds_of_an_outage_are_never_reported() -> None:
    feed = _feed("outage")
    silent = [day for day in range(20) if not feed.chargebacks(day)]
    assert silent == [2 + 7, 3 + 7]
    assert feed.outage_us == ((START_DAY + 2) * DAY_US, (START_DAY + 4) * DAY_US)


def test_a_targeted_world_clears_every_fraud_of_the_scenario_once_and_no_other() -> None:
    feed = _feed("targeted")
    cleared = [each for day in range(-1, 12) for each in feed.cleared(day)]
    assert {int(each) % 4 for each in cleared} == {SCENARIO}
    assert _days_of(cleared) == list(range(START_DAY + 6))
    assert len(cleared) == len(set(cleared)) == START_DAY + 6
    assert not any(_feed(world).cleared(day) for world in ("clean", "outage") for day in range(12))


def test_at_most_the_rate_of_the_honest_is_alerted_on() -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 50, 2_000).astype(np.float64)
    is_fraud = rng.random(2_000) < 0.1
    for rate in (0.0, 0.005, 0.1, 0.5):
        alerted = alerts_at(is_fraud, scores, rate)
        assert alerted[~is_fraud].mean() <= rate
        assert scores[alerted].min(initial=50) > scores[~alerted].max(initial=-1)


def test_recall_is_of_the_attacked_scenario_too_and_an_unanswered_payment_is_missed() -> None:
    payments = _payments()
    scores = {str(row): 0.0 for row in range(len(payments))}
    scores |= {str(row): 0.9 for row in range(1, len(payments), 4)}
    scores |= {str(row): 0.8 for row in range(2, len(payments) // 2, 4)}
    del scores["1"]
    quality = judge(payments, scores, SCENARIO)
    assert (quality.rows, quality.frauds) == (160, 120)
    assert quality.attacked_recall == 0.5
    assert quality.recall == pytest.approx((39 + 20) / 120)
    assert 0.5 < quality.average_precision < 1


def test_the_guard_is_on_or_off_and_nothing_else_of_the_configuration_changes(tmp_path: Path) -> None:
    (tmp_path / "fraud.toml").write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    place = Place(tmp_path, environment_of(Plan(), quick=False))
    settings = place.settings
    assert settings.labels.sources == ("processor", "chargeback")
    assert settings.sentinel_source == "chargeback"
    assert list(settings.training.recipes) == ["full"]
    off = set_guard(place, on=False)
    actions = [getattr(off.settings.guard, check).action for check in CHECKS]
    assert set(actions) == {"off"}
    assert set_guard(off, on=True).settings == settings


def _short(precisions: dict[tuple[str, str], float], *, stopped: bool) -> list[str]:
    """Return the bars that are short when every row but these gives .7."""
    results = []
    for case in CASES:
        precision = precisions.get((case.world, case.name), 0.7)
        quality = Quality(100, 10, precision, 0.5, 0.5)
        results.append(Result(case, quality, "card-1", 0.2, Repair(stopped=stopped), 0, 0.01))
    report = report_of(results, Plan(), [])
    assert [row["what"] for row in report.rows] == [case.name for case in CASES]
    return [bar.name for bar in report.bars if bar.verdict(quick=False) == "short"]


def test_bars_ask_for_what_mends_to_come_near_to_clean_and_for_guards_that_stop() -> None:
    assert not _short({}, stopped=True)
    assert not _short({("targeted", UNDEFENDED): 0.2, ("targeted", EXCLUDED): 0.695}, stopped=True)
    far = _short({("outage", RETRAINED): 0.68}, stopped=True)
    assert far == ["outage, exclusion and retrain: AP − clean"]
    assert len(_short({}, stopped=False)) == 3


def test_of_many_findings_a_line_names_the_first() -> None:
    verdict = CycleVerdict(model="card", verdict="FROZEN", reason="silence: none; traffic: gap; traffic: gap")
    assert said(verdict) == "FROZEN: silence: none (and 2 more)"
