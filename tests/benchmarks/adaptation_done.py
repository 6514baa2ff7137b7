"""Finished runs of the adaptation benchmark, made up."""

from benchmarks.adaptation_rows import DAILY, NEVER, ORACLE, SCHEDULES, SERVICE, Played
from benchmarks.adaptation_runs import Run
from benchmarks.adaptation_worlds import BANDIT, POISONERS, Scenario
from fraud.adversary.contest_figures import ContestDay, ContestResult

DAYS = 30


def played_run(
    run: Run,
    *,
    lost: int,
    caught: int,
    retrains: int = 1,
    declined: int = 12,
    driven: int = 3,
    started: int = 9,
) -> Played:
    days = tuple(
        ContestDay(
            *(day, 2_400, 20, caught, caught, declined, 50_000, 50_000 - lost, lost, 10, retrains),
            {"ladder": 50_000},
        )
        for day in range(DAYS)
    )
    told = {"failed": 0, "triggers": {"misses": 9, "request": 4}, "cycles": {"frozen": 2}}
    told |= {"emergencies": {"misses": started, "value_detection": 0}}
    told |= {"emergencies_max": 3, "emergencies_together": driven}
    service = told if "service" in run.row else {}
    return Played(run.row, run.scenario.name, ContestResult(run.row, run.scenario.seed, days), service)


def done_runs(**changed: dict[str, int]) -> dict[Run, Played]:
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
        run: played_run(
            run,
            **(figures[run.row] | changed.get(f"{run.scenario.attackers.removesuffix('-4')}_{run.row}", {})),
        )
        for run in runs
    }
