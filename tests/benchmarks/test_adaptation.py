"""The adaptation benchmark: permanent scenarios, equal models, honest ratios, bars that can fail."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import adaptation_runs
from benchmarks.adaptation import arguments, main, scenarios_of
from benchmarks.adaptation_report import FIRST_DAY
from benchmarks.adaptation_rows import (
    DAILY,
    DAILY_ANALYSTS,
    DAILY_FRESH,
    HARDENED_SETTINGS,
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
from benchmarks.adaptation_rows import FIRST_DAY as FIRST_MODEL
from benchmarks.adaptation_runs import Results, Run, runs_of
from benchmarks.adaptation_worlds import (
    BANDIT,
    CARDS_PER_DAY,
    LEARNERS,
    POISONER,
    POISONERS,
    WORLDS,
    Scenario,
    Sources,
    config_of,
    mutants,
)
from fraud import adversary
from fraud.adversary.defenders import LIGHT
from fraud.adversary.economy import demo_settings
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.clock import DAY_US, HOUR_US, SECOND_US
from fraud.evaluation.quiet import Forecast
from fraud.guard.finding import CHECKS
from fraud.registry.cycles import CycleStart
from fraud.retrainer.misses import SPANS
from fraud.retrainer.triggers import Alarm, CyclesBefore, due
from fraud.settings import load_settings
from tests.benchmarks.adaptation_done import DAYS, done_runs, played_run

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


@pytest.mark.parametrize(
    "words",
    [
        ["--days", "21"],
        ["--days", "43"],
        ["--seeds", "0"],
        ["--strategies", "/no/such.toml"],
        ["--strategies", "exp3.toml"],
        ["--attackers", "bandit"],
    ],
)
def test_what_cannot_be_played_is_refused_by_name(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp3.toml").touch()
    with pytest.raises(SystemExit):
        arguments(words)
    said = capsys.readouterr().err
    assert words[0] in said
    assert words[1] in said


def test_other_learners_are_played_where_they_are_named_beside_the_rows_of_held_out_strategies() -> None:
    assert {it.attackers for it in scenarios_of(arguments([]))} == {BANDIT, *POISONERS}
    found = scenarios_of(arguments(["--attackers", *LEARNERS, "--seeds", "2"]))
    for name in LEARNERS:
        mine = [it for it in found if it.attackers == name]
        assert {(it.delay, it.seed) for it in mine} == {
            (delay, seed) for delay in ("7d", "0d") for seed in (1, 2)
        }
        assert {row for it in mine for row in rows_of(it)} == {SERVICE, DAILY, ORACLE}


@pytest.mark.parametrize("name", LEARNERS)
def test_each_learner_plays_by_its_seed_and_otherwise_than_the_bandit(name: str, tmp_path: Path) -> None:
    sources = Sources(6, tmp_path / "none")
    once, again = (play(NEVER, Scenario("own", name, "7d", 3), sources, tmp_path) for _ in range(2))
    assert once == again
    days = once.result.days
    assert sum(day.frauds for day in days) > 0
    used = {strategy for day in days for strategy in day.attempted}
    assert used <= {it.name for it in known_strategies()}
    assert len(used) > 2
    for other in (Scenario("own", name, "7d", 4), Scenario("own", BANDIT, "7d", 3)):
        assert play(NEVER, other, sources, tmp_path).result.days != days


def test_a_bought_analyst_has_an_honest_past_and_quiet_weeks_go_before_false_disputes() -> None:
    for settings in POISONERS.values():
        honest = range(FIRST_MODEL + 1, settings.from_day)
        assert len(honest) >= 4 * 7, "three quiet weeks, and the week that is judged"
        assert not any(settings.disputes_on(day, seed) for day in honest for seed in range(5))
    for world in WORLDS:
        assert SETTINGS[world].guard.history_min <= 21 * DAY_US


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


def test_the_hardened_service_differs_by_its_recipe_and_the_evasion_guard_alone() -> None:
    for world in WORLDS:
        settings, plain = load_settings(config_of(world), HARDENED_SETTINGS), SETTINGS[world]
        (name, recipe), (known, as_full) = *settings.training.recipes.items(), *plain.training.recipes.items()
        assert (name, recipe.kind) == (known, "hardened")
        assert recipe.model_copy(update={"kind": as_full.kind}) == as_full
        assert settings.attacks == plain.attacks.model_copy(update={"gate": True})
        given = {"training": plain.training, "attacks": plain.attacks}
        assert settings.model_copy(update=given) == plain


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


@pytest.mark.parametrize("world", WORLDS)
def test_misses_of_one_day_of_the_gang_can_alarm_where_quiet_days_have_one(world: str) -> None:
    """An evening off the schedule has a day of misses behind it, each card a vote at most."""
    rules, most = SETTINGS[world].training.triggers.misses, int(CARDS_PER_DAY)
    assert rules is not None
    assert rules.least < most
    for votes, alarms in ((most - 1, True), (rules.jump, False)):
        chance = Forecast(1.0, 0.0).chance(votes)
        assert (votes >= max(rules.least, rules.jump) and chance <= rules.p_value / len(SPANS)) == alarms


def test_the_service_retrains_as_often_as_a_daily_schedule() -> None:
    """An evening has one retrain, whatever alarms, and however often it is looked."""
    for world in WORLDS:
        triggers = SETTINGS[world].training.triggers
        starts: list[CycleStart] = []
        for day in range(FIRST_DAY, 90):
            for now_us in (day * DAY_US, day * DAY_US + HOUR_US):
                alarm = Alarm("misses", "card", "many", now_us)
                wanted = due(triggers, CyclesBefore(["card"], starts, alarms=[alarm]), now_us)
                if wanted is not None:
                    starts.append(_cycle(now_us, wanted.trigger))
        assert [it.cut_us for it in starts] == [day * DAY_US for day in range(FIRST_DAY, 90)]


def test_emergencies_together_are_those_of_the_fullest_span() -> None:
    days = [DAY_US * day for day in (0, 1, 6, 7, 8, 20)]
    assert most_within(days, 7 * DAY_US) == 3
    assert most_within(days, 7 * DAY_US + 1) == 4
    assert most_within([], DAY_US) == 0


def _cycle(time_us: int, trigger: str) -> CycleStart:
    return CycleStart(
        time_us, time_us, trigger, fruitful=True, models=("card",), ended="finished", trained=("card",)
    )


def test_a_finished_run_is_read_back_and_other_days_are_refused(tmp_path: Path) -> None:
    run, played = next(iter(done_runs().items()))
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
    results.write(run, played_run(run, lost=1, caught=1), 1.0)
    assert results.read(run) is not None
    place.write_text("[slow]\namount_minor = 9_000\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"another adaptation_own\.toml, or other unseen; give another folder"
    ):
        results.read(run)


def test_a_run_of_another_configuration_or_poisoner_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(SERVICE, Scenario("own", POISONER, "7d", 1))
    results = Results(tmp_path / "runs", Sources(DAYS, tmp_path))
    results.write(run, played_run(run, lost=1, caught=1), 1.0)
    other = tmp_path / "adaptation_own.toml"
    other.write_text("[gate]\n", encoding="utf-8")
    for name, made in ("config_of", lambda _: other), ("POISONERS", {POISONER: None}):
        with monkeypatch.context() as changed:
            changed.setattr(adaptation_runs, name, made)
            with pytest.raises(ValueError, match="give another folder"):
                results.read(run)
    assert results.read(run) is not None


def test_slow_runs_come_first_and_rows_can_be_chosen() -> None:
    scenarios = [Scenario("own", BANDIT, "7d", seed) for seed in (1, 2)]
    runs = runs_of(scenarios, None)
    assert [run.row for run in runs[:2]] == [SERVICE, SERVICE]
    assert {run.row for run in runs_of(scenarios, [NEVER])} == {NEVER}
    assert {run.row for run in runs} == set(PLAIN)
    assert {run.row for run in runs_of(scenarios, ON_REQUEST)} == set(ON_REQUEST)
    assert len({run.name for run in runs}) == len(runs)


def test_what_was_played_is_reported_though_nothing_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(ORACLE, Scenario("own", BANDIT, "0d", 1))
    Results(tmp_path, Sources(DAYS, tmp_path)).write(run, played_run(run, lost=1, caught=12), 1.0)
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
