"""The adaptation benchmark: permanent scenarios, equal models, honest ratios, bars that can fail."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.adaptation import arguments, main, scenarios_of
from benchmarks.adaptation_figure import draw
from benchmarks.adaptation_intervals import mean_interval, paired_ratio
from benchmarks.adaptation_report import FIRST_DAY, best_schedule, report_of, table_of
from benchmarks.adaptation_rows import (
    DAILY,
    DAILY_ANALYSTS,
    DAILY_FRESH,
    NEVER,
    ON_REQUEST,
    ORACLE,
    PLAIN,
    POISONED_SETTINGS,
    SCHEDULES,
    SERVICE,
    UNDEFENDED,
    UNDEFENDED_SETTINGS,
    Played,
    most_within,
    play,
    policy_of,
    rows_of,
)
from benchmarks.adaptation_runs import Results, Run, runs_of
from benchmarks.adaptation_worlds import (
    BANDIT,
    BURSTS,
    POISONERS,
    WORLDS,
    Scenario,
    Sources,
    config_of,
    mutants,
)
from fraud import adversary
from fraud.adversary.contest_figures import ContestDay, ContestResult
from fraud.adversary.defenders import LIGHT
from fraud.adversary.economy import demo_settings
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.clock import DAY_US, SECOND_US
from fraud.guard.finding import CHECKS
from fraud.registry.cycles import CycleStart
from fraud.retrainer.triggers import Alarm, CyclesBefore, due
from fraud.settings import load_settings

DAYS = 30
SETTINGS = {world: load_settings(config_of(world), {}) for world in WORLDS}


def test_the_default_scenarios_keep_their_names_and_rows() -> None:
    found = scenarios_of(arguments([]))
    names = {scenario.name for scenario in found}
    assert {"handbook/bandit/7d/seed-5", "own/bandit/1d/seed-1", "own/bandit/0d/seed-3"} <= names
    assert {name for name in names if "poisoner" in name} == {
        f"{world}/{name}/7d/seed-1" for world in WORLDS for name in ("poisoner", "poisoner-bursts")
    }
    assert len(names) == len(found) == 2 * (3 * 5 + 2)
    rows = {rows_of(scenario) for scenario in found if scenario.delay != "0d"}
    assert rows == {rows_of(Scenario("own", BANDIT, "7d", 1)), (SERVICE, UNDEFENDED)}
    assert set(rows_of(Scenario("own", BANDIT, "7d", 1))) == {*PLAIN, *ON_REQUEST}
    assert rows_of(Scenario("own", BANDIT, "0d", 1)) == (ORACLE,)


def test_strategies_held_out_come_by_file_or_as_mutants(tmp_path: Path) -> None:
    place = tmp_path / "unseen.toml"
    place.write_text("[slow]\namount_minor = 5_000\ngap_minutes = 600\n", encoding="utf-8")
    found = scenarios_of(arguments(["--strategies", str(place), "--mutated", "5", "--seeds", "2"]))
    names = {scenario.attackers for scenario in found}
    assert names == {BANDIT, *POISONERS, "mutated-5", "unseen"}
    for held in ("mutated-5", "unseen"):
        rows = {row for it in found if it.attackers == held for row in rows_of(it)}
        assert rows == {SERVICE, DAILY, ORACLE}
    sources = Sources(DAYS, tmp_path / "none", place)
    tariff = Tariff.of(SETTINGS["own"])
    unseen = sources.strategies_of(Scenario("own", "unseen", "7d", 1), tariff)
    assert [(it.name, it.amount_minor) for it in unseen] == [("slow", 5_000)]
    drawn = sources.strategies_of(Scenario("own", "mutated-5", "7d", 1), tariff)
    assert drawn == mutants(5, 1, tariff) != mutants(5, 2, tariff)
    known = {replace(it, name="") for it in known_strategies()}
    assert not known & {replace(it, name="") for it in drawn}
    with pytest.raises(ValueError, match="attackers 'other': give --strategies"):
        sources.strategies_of(Scenario("own", "other", "7d", 1), tariff)


@pytest.mark.parametrize("world", WORLDS)
def test_all_mutants_can_play(world: str) -> None:
    tariff = Tariff.of(SETTINGS[world])
    drawn = [mutant for seed in range(20) for mutant in mutants(8, seed, tariff)]
    assert not [mutant.name for mutant in drawn if tariff.refusal(mutant)]
    assert {mutant.parts for mutant in drawn} > {1}


@pytest.mark.parametrize("words", [["--days", "21"], ["--seeds", "0"], ["--strategies", "/no/such.toml"]])
def test_what_cannot_be_played_is_refused_by_name(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        arguments(words)
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("world", WORLDS)
def test_the_service_has_the_features_and_the_booster_of_the_schedules(world: str) -> None:
    mine = SETTINGS[world]
    if world == "own":  # the Handbook's payments come with the service's own configuration
        theirs = demo_settings(1)
        assert mine.schema_ == theirs.schema_
        assert mine.features == theirs.features
    numbers = (
        "rounds",
        "max_depth",
        "learning_rate",
        "max_bin",
        "legitimate_share",
        "base_score",
        "subsample",
    )
    for recipe in mine.training.recipes.values():
        assert [getattr(recipe, name) for name in numbers] == [getattr(LIGHT, name) for name in numbers]
    assert mine.service.clock == "log"


def test_the_undefended_service_has_no_check_left_that_freezes_or_asks_for_proof() -> None:
    for world in WORLDS:
        settings = load_settings(config_of(world), UNDEFENDED_SETTINGS)
        assert {getattr(settings.guard, check).action for check in CHECKS} == {"off"}
        assert settings.gate.evidence_frauds_min == 1
        assert not settings.gate.probation.enabled
        assert settings.features == SETTINGS[world].features


def test_schedules_wait_for_labels_as_long_as_the_scenario_says() -> None:
    for row, (every, window) in SCHEDULES.items():
        policy = policy_of(row, DAY_US)
        assert (policy.every_days, policy.window_us, policy.maturity_us) == (every, window * DAY_US, DAY_US)
        assert policy.fresh == (row == DAILY_FRESH)
        late = policy_of(row, 7 * DAY_US)
        assert late.maturity_us == (3 if row == DAILY_FRESH else 7) * DAY_US
    fresh, analysts = policy_of(DAILY_FRESH, 7 * DAY_US), policy_of(DAILY_ANALYSTS, 7 * DAY_US)
    assert replace(fresh, name=DAILY_ANALYSTS) == analysts, "they differ by who looks at payments"
    assert replace(fresh, name=DAILY, fresh=False, maturity_us=DAY_US) == policy_of(DAILY, DAY_US)
    assert policy_of(NEVER, 7 * DAY_US).every_days is None
    assert policy_of(ORACLE, 0).maturity_us == 0
    with pytest.raises(ValueError, match="row 'other'"):
        policy_of("other", 0)


@pytest.mark.parametrize("given", [{}, POISONED_SETTINGS, UNDEFENDED_SETTINGS | POISONED_SETTINGS])
def test_triggers_are_awake_in_contests_that_pass_in_minutes(given: dict[str, str]) -> None:
    places = [config_of(world) for world in WORLDS]
    places += [Path(adversary.__file__).with_name("demo.toml")] if not given else []
    for place in places:
        settings = load_settings(place, given)
        triggers, monitoring = settings.training.triggers, settings.monitoring
        assert {"misses", "value_detection"} <= set(triggers.emergencies_wanted)
        assert triggers.emergencies
        assert monitoring.quality_every <= SECOND_US
        assert not triggers.probing or monitoring.traffic_every <= SECOND_US
    assert triggers.probing or not given


def test_the_service_retrains_no_more_often_than_a_daily_schedule() -> None:
    """An evening has one retrain at most, whatever alarms, and emergencies have evenings left."""
    for world in WORLDS:
        triggers = SETTINGS[world].training.triggers
        assert triggers.hold_down == DAY_US
        assert triggers.every == 2 * DAY_US
        assert triggers.per_day_max == 2
        starts: list[CycleStart] = []
        for day in range(FIRST_DAY, 90):
            alarm = Alarm("misses", "card", "many", day * DAY_US)
            before = CyclesBefore(["card"], starts, alarms=[alarm])
            wanted = due(triggers, before, day * DAY_US)
            if wanted is not None:
                starts.append(_cycle(day * DAY_US, wanted.trigger))
        triggered = [it.trigger for it in starts]
        assert len(starts) <= 90 - FIRST_DAY
        assert 20 < triggered.count("misses") <= 3 * 11


def test_emergencies_together_are_those_of_the_fullest_span() -> None:
    days = [DAY_US * day for day in (0, 1, 6, 7, 8, 20)]
    assert most_within(days, 7 * DAY_US) == 3
    assert most_within(days, 7 * DAY_US + 1) == 4
    assert most_within([], DAY_US) == 0


def _cycle(time_us: int, trigger: str) -> CycleStart:
    return CycleStart(
        time_us, time_us, trigger, fruitful=True, models=("card",), ended="finished", trained=("card",)
    )


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


def _played(
    run: Run, *, lost: int, caught: int, retrains: int = 1, declined: int = 12, driven: int = 3
) -> Played:
    days = tuple(
        ContestDay(
            *(day, 2_400, 20, caught, caught, declined, 50_000, 50_000 - lost, lost, 10, retrains),
            {"ladder": 50_000},
        )
        for day in range(DAYS)
    )
    told = {"failed": 0, "triggers": {"misses": 9}, "cycles": {"frozen": 2}}
    told |= {"emergencies_max": 3, "emergencies_together": driven}
    service = told if "service" in run.row else {}
    return Played(run.row, run.scenario.name, ContestResult(run.row, run.scenario.seed, days), service)


def _done(**changed: dict[str, int]) -> dict[Run, Played]:
    """Runs of two seeds in which all bars are met, but for what is changed of a row."""
    figures = {
        **{row: {"lost": 20_000, "caught": 12} for row in (*SCHEDULES, NEVER)},
        SERVICE: {"lost": 10_000, "caught": 15},
        ORACLE: {"lost": 5_000, "caught": 18},
        DAILY: {"lost": 15_000, "caught": 13},
    }
    figures[NEVER]["caught"] = 4
    runs = [
        Run(row, Scenario("own", BANDIT, "7d", seed)) for row in figures if row != ORACLE for seed in (1, 2)
    ]
    runs += [Run(ORACLE, Scenario("own", BANDIT, "0d", seed)) for seed in (1, 2)]
    runs += [Run(ORACLE, Scenario("own", "mutated-4", "0d", 1))]
    runs += [Run(SERVICE, Scenario("own", name, "7d", 1)) for name in ("mutated-4", *POISONERS)]
    return {
        run: _played(
            run,
            **(figures[run.row] | changed.get(f"{run.scenario.attackers.removesuffix('-4')}_{run.row}", {})),
        )
        for run in runs
    }


def _short(done: dict[Run, Played]) -> list[str]:
    return [bar.name for bar in report_of(done, DAYS).bars if bar.verdict(quick=False) == "short"]


def test_all_bars_are_met_by_a_service_that_meets_them() -> None:
    report = report_of(_done(), DAYS)
    assert not _short(_done())
    assert len(report.bars) == 12
    row = next(it for it in report.rows if it["row"] == SERVICE and it["scenario"] == "own/bandit/7d")
    assert row["÷ schedule"] == pytest.approx(10 / 15)
    assert row["÷ oracle"] == pytest.approx(2.0)
    assert row["lost"] == pytest.approx(100.0)
    best = best_schedule(table_of(_done(), DAYS)["own", BANDIT, "7d"])
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
    assert _short(_done(**changed)) == [bar]


def test_how_hard_held_out_strategies_are_for_the_oracle_is_said() -> None:
    notes = report_of(_done(mutated_oracle={"caught": 9, "lost": 20_000}), DAYS).notes
    assert "own/mutated-4/7d: the oracle's recall at .5 % FPR ÷ its own on known strategies 0.50" in notes
    assert "own/mutated-4/7d: the oracle's value detected ÷ its own on known strategies 0.67" in notes


def test_no_recall_is_asked_for_where_the_static_model_still_sees() -> None:
    report = report_of(_done(bandit_never={"caught": 9}, bandit_service={"caught": 11}), DAYS)
    assert not [bar for bar in report.bars if bar.name.endswith(": recall")]
    assert any("keeps a recall of 0.45" in note for note in report.notes)


def test_a_finished_run_is_read_back_and_other_days_are_refused(tmp_path: Path) -> None:
    run, played = next(iter(_done().items()))
    results = Results(tmp_path / "runs", Sources(DAYS, tmp_path))
    assert results.read(run) is None
    results.write(run, played, 1.0)
    assert results.read(run) == played
    assert len(results.commits) == 1
    (file,) = (tmp_path / "runs").iterdir()
    assert file.name == f"{run.name}.json"
    assert json.loads(file.read_text(encoding="utf-8"))["scenario"] == run.scenario.name
    with pytest.raises(ValueError, match="was played over 30 days, not 40"):
        Results(tmp_path / "runs", Sources(40, tmp_path)).read(run)


def test_a_run_with_another_strategy_file_of_the_name_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "unseen.toml"
    place.write_text("[slow]\namount_minor = 5_000\n", encoding="utf-8")
    run = Run(SERVICE, Scenario("own", "unseen", "7d", 1))
    results = Results(tmp_path / "runs", Sources(DAYS, tmp_path, place))
    results.write(run, _played(run, lost=1, caught=1), 1.0)
    assert results.read(run) is not None
    place.write_text("[slow]\namount_minor = 9_000\n", encoding="utf-8")
    with pytest.raises(ValueError, match="was played with another unseen; give another folder"):
        results.read(run)


def test_slow_runs_come_first_and_rows_can_be_chosen() -> None:
    scenarios = [Scenario("own", BANDIT, "7d", seed) for seed in (1, 2)]
    runs = runs_of(scenarios, None)
    assert [run.row for run in runs[:2]] == [SERVICE, SERVICE]
    assert {run.row for run in runs_of(scenarios, [NEVER])} == {NEVER}
    assert {run.row for run in runs} == set(PLAIN)
    assert {run.row for run in runs_of(scenarios, ON_REQUEST)} == set(ON_REQUEST)
    assert len({run.name for run in runs}) == len(runs)


def test_the_figure_is_drawn_with_a_panel_a_world(tmp_path: Path) -> None:
    place = tmp_path / "adaptation.svg"
    draw(table_of(_done(), DAYS), "7d", place)
    assert "own" in place.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no run of bandit/1d"):
        draw(table_of(_done(), DAYS), "1d", place)


def test_what_was_played_is_reported_though_nothing_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(ORACLE, Scenario("own", BANDIT, "0d", 1))
    Results(tmp_path, Sources(DAYS, tmp_path)).write(run, _played(run, lost=1, caught=12), 1.0)
    words = f"--rows oracle --worlds own --seeds 1 --poisoner-seeds 0 --days {DAYS}"
    words += f" --resume {tmp_path} --figure {tmp_path / 'none.svg'}"
    monkeypatch.setattr(sys, "argv", ["adaptation", *words.split()])
    assert main() == 0
    said = capsys.readouterr()
    assert "own/bandit/0d" in said.out
    assert "no figure: no run of bandit/7d to draw" in said.out
    assert not (tmp_path / "none.svg").exists()


def test_the_slowest_labels_are_those_of_held_out_strategies_and_poisoners_in_any_order() -> None:
    for words in ("7d 1d", "1d 7d"):
        found = scenarios_of(arguments(["--delays", *words.split(), "--mutated", "4"]))
        assert {it.delay for it in found if it.attackers in POISONERS} == {"7d"}
        assert {it.delay for it in found if it.attackers == "mutated-4"} == {"7d", "0d"}


def test_rows_of_one_scenario_meet_the_same_opponents_and_differ_by_what_they_answer(tmp_path: Path) -> None:
    sources = Sources(FIRST_DAY - 4, tmp_path / "none")
    runs = {
        (row, delay): play(row, Scenario("own", BANDIT, delay, 2), sources, tmp_path)
        for row, delay in ((NEVER, "7d"), (DAILY, "7d"), (ORACLE, "0d"))
    }
    never, daily, oracle = (played.result.days for played in runs.values())
    assert [day.frauds for day in never[:15]] == [day.frauds for day in daily[:15]]
    assert [day.honest for day in never] == [day.honest for day in oracle]
    assert sum(day.retrains for day in never) == 1 < sum(day.retrains for day in daily)
    assert all(
        played == Played.from_json(json.loads(json.dumps(played.as_json()))) for played in runs.values()
    )
