"""The report of the adaptation benchmark: intervals, bars that can fail, and what is told beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.adaptation_figure import draw
from benchmarks.adaptation_intervals import mean_interval, paired_ratio
from benchmarks.adaptation_report import best_schedule, in_words, report_of, table_of
from benchmarks.adaptation_rows import (
    DAILY,
    SERVICE,
    Played,
)
from benchmarks.adaptation_runs import Run
from benchmarks.adaptation_worlds import (
    BANDIT,
    BURSTS,
    POISONER,
    Scenario,
)
from tests.benchmarks.adaptation_done import DAYS, done_runs, played_run


def test_a_ratio_is_of_sums_and_its_interval_is_paired() -> None:
    even = paired_ratio([2.0, 4.0, 8.0], [4.0, 8.0, 16.0])
    assert (even.value, even.low, even.high) == pytest.approx((0.5, 0.5, 0.5))
    uneven = paired_ratio([2.0, 4.0, 9.0], [4.0, 8.0, 15.0])
    assert uneven.value == pytest.approx(15 / 27)
    assert uneven.low < uneven.value < uneven.high
    assert np.isnan(paired_ratio([1.0], [2.0]).high)
    assert np.isnan(paired_ratio([1.0], [0.0]).value)
    with pytest.raises(ValueError, match="no pairs"):
        paired_ratio([1.0], [1.0, 2.0])


def test_intervals_of_means_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    found = [mean_interval(rng.normal(3.0, 2.0, 5).tolist()) for _ in range(1_000)]
    covered = np.mean([it.low <= 3.0 <= it.high for it in found])
    assert covered == pytest.approx(0.95, abs=0.025)


def _short(done: dict[Run, Played]) -> list[str]:
    return [bar.name for bar in report_of(done, DAYS).bars if bar.verdict(quick=False) == "short"]


def test_all_bars_are_met_by_a_service_that_meets_them() -> None:
    report = report_of(done_runs(), DAYS)
    assert not _short(done_runs())
    assert len(report.bars) == 12
    row = next(it for it in report.rows if it["row"] == SERVICE and it["scenario"] == "own/bandit/7d")
    assert row["÷ schedule"] == pytest.approx(10 / 15)
    assert row["÷ oracle"] == pytest.approx(2.0)
    assert row["lost"] == pytest.approx(100.0)
    best = best_schedule(table_of(done_runs(), DAYS)["own", BANDIT, "7d"])
    assert best is not None
    assert best[0] == DAILY
    assert any("distance to the oracle: money lost × 2.00" in note for note in report.notes)


@pytest.mark.parametrize(
    ("changed", "bar"),
    [
        ({"bandit_service": {"lost": 14_000}}, "own/bandit/7d: money lost ÷ daily-90d's"),
        ({"bandit_service": {"retrains": 2}}, "own/bandit/7d: retrains − daily-90d's"),
        ({"bandit_service": {"declined": 14}}, "own/bandit/7d: false declines ÷ daily-90d's"),
        ({"bandit_service": {"caught": 11}}, "own/bandit/7d: recall"),
        ({"mutated_service": {"caught": 13}}, "own/mutated-4/7d: recall at .5 % FPR ÷ known strategies'"),
        ({"mutated_service": {"lost": 15_000}}, "own/mutated-4/7d: value detected ÷ known strategies'"),
        (
            {"poisoner_service": {"driven": 4}},
            "own/poisoner/7d: emergency retrains within a span of their budget",
        ),
        (
            {"poisoner-bursts_service": {"driven": 4}},
            f"own/{BURSTS}/7d: emergency retrains within a span of their budget",
        ),
    ],
)
def test_each_bar_is_short_when_its_figure_is(changed: dict[str, dict[str, int]], bar: str) -> None:
    assert _short(done_runs(**changed)) == [bar]


def test_how_hard_held_out_strategies_are_for_the_oracle_is_said() -> None:
    notes = report_of(done_runs(mutated_oracle={"caught": 9, "lost": 20_000}), DAYS).notes
    told = "own/mutated-4/7d: the oracle's {} ÷ its own against the bandit {} (one seed)"
    assert told.format("recall at .5 % FPR", "0.50") in notes
    assert told.format("value detected", "0.67") in notes


def test_other_learners_are_held_against_the_bandit_without_a_bar() -> None:
    done = done_runs()
    run = Run(SERVICE, Scenario("own", "exp3", "7d", 1))
    done[run] = played_run(run, lost=30_000, caught=3)
    report = report_of(done, DAYS)
    assert not _short(done)
    told = "own/exp3/7d: the service's recall at .5 % FPR ÷ its own against the bandit 0.20 (one seed)"
    assert told in report.notes


def test_emergencies_are_told_by_trigger_and_so_is_that_there_were_none() -> None:
    report = report_of(done_runs(**{"poisoner-bursts_service": {"started": 0}}), DAYS)
    assert "own/bandit/7d: service: emergencies: misses 18, value_detection 0" in report.notes
    none = f"own/{BURSTS}/7d: service: emergencies: misses 0, value_detection 0: none ever started"
    assert any(note.startswith(none) for note in report.notes)
    rows = {(it["scenario"], it["row"]): it["emergencies"] for it in report.rows}
    assert rows["own/bandit/7d", SERVICE] == {"misses": 18, "value_detection": 0}
    assert rows["own/bandit/7d", DAILY] == {}


def test_retrains_because_of_the_poisoner_are_told() -> None:
    notes = report_of(done_runs(poisoner_service={"retrains": 3}), DAYS).notes
    told = (
        f"own/{POISONER}/7d: retrains in all, with the poisoner less without him +18.0 (one seed); 4.0 a run"
    )
    assert any(note.startswith(told) for note in notes)


def test_figures_have_their_interval_and_the_table_shows_it() -> None:
    done = done_runs()
    lucky = Run(SERVICE, Scenario("own", BANDIT, "7d", 2))
    done[lucky] = played_run(lucky, lost=10_000, caught=17, declined=14)
    row = next(it for it in report_of(done, DAYS).rows if it["row"] == SERVICE and it["seeds"] == 2)
    half = mean_interval([0.75, 0.85])
    assert (row["recall"], row["recall ±"]) == pytest.approx((0.8, half.high - 0.8))
    assert (row["value ±"], row["lost ±"]) == pytest.approx((0.0, 0.0))
    assert row["declined ±"] == pytest.approx(10 * 2 * (half.high - 0.8))
    shown = in_words(row)
    assert shown["recall"] == f".80 ± {half.high - 0.8:.2f}".replace("± 0", "± ")
    assert shown["lost"] == "100 ± 0"
    assert in_words({**row, "recall ±": float("nan")})["recall"] == ".80"


def test_days_to_recovery_are_a_median_over_all_falls_of_all_seeds() -> None:
    def fallen(seed: int, back: int) -> Played:
        run = Run(SERVICE, Scenario("own", BANDIT, "7d", seed))
        played = played_run(run, lost=10_000, caught=15)
        days = tuple(
            replace(
                day,
                caught=15 if day.day < 24 or day.day >= back else 2,
                attempted={"ladder" if day.day < 24 else "slow": 50_000},
            )
            for day in played.result.days
        )
        return replace(played, result=replace(played.result, days=days))

    def row(*backs: int) -> dict[str, object]:
        done = {
            Run(SERVICE, Scenario("own", BANDIT, "7d", seed)): fallen(seed, back)
            for seed, back in enumerate(backs)
        }
        return in_words(report_of(done, DAYS).rows[0])

    most = row(25, 25, DAYS)
    assert (most["days to 90 %"], most["back"]) == ("3", "2/3")
    few = row(25, DAYS, DAYS)
    assert (few["days to 90 %"], few["back"]) == ("not within 6", "1/3")
    assert row(24)["days to 90 %"] == "–"


def test_no_recall_is_asked_for_where_the_static_model_still_sees() -> None:
    report = report_of(done_runs(bandit_never={"caught": 9}, bandit_service={"caught": 11}), DAYS)
    assert not [bar for bar in report.bars if bar.name.endswith(": recall")]
    assert any("keeps a recall of 0.45" in note for note in report.notes)


def test_the_figure_is_drawn_with_a_panel_a_world(tmp_path: Path) -> None:
    place = tmp_path / "adaptation.svg"
    draw(table_of(done_runs(), DAYS), "7d", place)
    assert "own" in place.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no run of bandit/1d"):
        draw(table_of(done_runs(), DAYS), "1d", place)
