"""Tables and bars of the adaptation benchmark, from finished runs.

    runs of a world, attackers and delay ─ by row, over seeds ─▶ means, intervals
    this service ÷ the best fixed schedule at that delay, seed by seed ─▶ bars

The best schedule is the one that loses least over all seeds, chosen after the fact: the harder
opponent. Figures are over days 21 to the end, a week after the first models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.adaptation_intervals import mean_interval, paired_ratio
from benchmarks.adaptation_rows import (
    DAILY_ANALYSTS,
    NEVER,
    ORACLE,
    REVIEWS,
    SCHEDULES,
    SERVICE,
    UNDEFENDED,
    Played,
)
from benchmarks.adaptation_runs import Run
from benchmarks.adaptation_worlds import BANDIT, POISONERS, held_out
from benchmarks.report import Bar, Report
from fraud.adversary.contest_figures import RECOVERED_SHARE
from fraud.evaluation.resampling import Interval
from fraud.registry.cycles import EMERGENCIES

FIRST_DAY = 21
LOST_MAX = 0.85
RECALL_MIN, STATIC_RECALL = 0.60, 0.25
HELD_OUT_SHARE = 0.9
FALSE_DECLINES_MAX = 1.1
Key = tuple[str, str, str]
"""World, attackers, delay."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """A row's runs of one world, attackers and delay, by seed."""

    by_seed: Mapping[int, Played]
    end: int

    @property
    def runs(self) -> list[Played]:
        """The runs in order of seeds."""
        return [played for _, played in sorted(self.by_seed.items())]

    def each(self, column: str) -> list[float]:
        """Return a column of `ContestResult.row` for each seed, in order of seeds."""
        return [float(played.result.row(FIRST_DAY, self.end)[column]) for played in self.runs]

    def mean(self, column: str) -> float:
        """Return the mean of a column over seeds."""
        return float(np.mean(self.each(column)))

    def service(self, key: str) -> list[int]:
        """Return what the service said of itself, for each seed."""
        return [int(played.service[key]) for played in self.runs]


LOST, RECALL, VALUE = "lost a day", "recall at .5 % FPR", "value detected"
RETRAINS, DECLINED = "retrains", "false declines a day"
Table = Mapping[Key, Mapping[str, Seeds]]


def table_of(done: Mapping[Run, Played], days: int) -> dict[Key, dict[str, Seeds]]:
    """Return runs by world, attackers and delay, then by row."""
    found: dict[Key, dict[str, dict[int, Played]]] = {}
    for run, played in done.items():
        at = run.scenario
        rows = found.setdefault((at.world, at.attackers, at.delay), {})
        rows.setdefault(run.row, {})[at.seed] = played
    return {key: {row: Seeds(by_seed, days) for row, by_seed in rows.items()} for key, rows in found.items()}


def report_of(done: Mapping[Run, Played], days: int) -> Report:
    """Return rows, bars and notes of finished runs."""
    report = Report("Closed loop: adaptive attackers against this service, schedules, an online learner")
    table = table_of(done, days)
    for key in sorted(table):
        for row, seeds in table[key].items():
            report.rows.append(row_of(key, row, seeds, oracle_of(table, key), best_schedule(table[key])))
    for key in sorted(table):
        _bars_of(table, key, report)
    report.notes.append(
        f"days {FIRST_DAY} to {days}, seeds as counted; intervals are 95 %, Student's t over seeds; money in "
        f"major units a day; days to {RECOVERED_SHARE:.0%}: the median of changes that came back, beside how "
        "many of all did; declined are honest payments, a day"
    )
    rows = {row for key in table for row in table[key]}
    with_analysts = " and ".join(sorted(rows & {SERVICE, UNDEFENDED, DAILY_ANALYSTS}))
    report.notes.append(f"analysts, who look at {REVIEWS} payments a day, have: {with_analysts or 'none'}")
    return report


def row_of(
    key: Key, row: str, seeds: Seeds, oracle: Seeds | None, best: tuple[str, Seeds] | None
) -> dict[str, Any]:
    """Return the table's row: means over seeds, money with its interval, and against oracle and schedule."""
    lost = mean_interval(seeds.each(LOST))
    changes, recovered = sum(seeds.each("changes")), sum(seeds.each("recovered"))
    days = [each for each in seeds.each("days to 90 %") if not np.isnan(each)]
    return {
        "scenario": "/".join(key),
        "row": row,
        "seeds": len(seeds.by_seed),
        "recall": seeds.mean(RECALL),
        "value": seeds.mean(VALUE),
        "lost": lost.value,
        "lost ±": lost.high - lost.value,
        "÷ schedule": _ratio(seeds, None if best is None else best[1]),
        "÷ oracle": _ratio(seeds, oracle),
        "days to 90 %": float(np.mean(days)) if days else float("nan"),
        "back": f"{recovered:.0f}/{changes:.0f}",
        "retrains": seeds.mean(RETRAINS),
        "declined": seeds.mean(DECLINED),
    }


def _bounds(interval: Interval) -> str:
    return "(one seed)" if np.isnan(interval.low) else f"[{interval.low:.2f}, {interval.high:.2f}]"


def best_schedule(rows: Mapping[str, Seeds]) -> tuple[str, Seeds] | None:
    """Return the fixed schedule that loses least, None where there is none."""
    found = [(name, rows[name]) for name in SCHEDULES if name in rows]
    return min(found, key=lambda pair: pair[1].mean(LOST), default=None)


def oracle_of(table: Table, key: Key) -> Seeds | None:
    """Return the oracle of a world and its attackers, None where it was not played."""
    return table.get((key[0], key[1], "0d"), {}).get(ORACLE)


def _ratio(seeds: Seeds, other: Seeds | None) -> float:
    """Return money lost ÷ that of another row on the seeds that both have; NaN where there are none."""
    pairs = _pairs(seeds, other, LOST)
    return paired_ratio(*pairs).value if pairs is not None else float("nan")


def _pairs(one: Seeds, other: Seeds | None, column: str) -> tuple[list[float], list[float]] | None:
    common = sorted(set(one.by_seed) & set(other.by_seed)) if other is not None else []
    if other is None or not common:
        return None
    mine, theirs = (
        Seeds({seed: each.by_seed[seed] for seed in common}, each.end).each(column) for each in (one, other)
    )
    return mine, theirs


def _bars_of(table: Table, key: Key, report: Report) -> None:
    rows, name = table[key], "/".join(key)
    service = rows.get(SERVICE)
    if service is None:
        return
    report.bars.append(
        Bar(f"{name}: failed requests", sum(service.service("failed")), 0, False, fair_when_quick=True)
    )
    if key[1] == BANDIT:
        _against_schedules(rows, name, service, report)
        _against_oracle(service, oracle_of(table, key), name, report)
    elif key[1] in POISONERS:
        _against_poisoner(rows, name, service, report)
    elif held_out(key[1]):
        known = (key[0], BANDIT, key[2])
        _against_held_out(service, table.get(known, {}).get(SERVICE), name, report)
        _as_hard_for_the_oracle(oracle_of(table, key), oracle_of(table, known), name, report)


def _against_schedules(rows: Mapping[str, Seeds], name: str, service: Seeds, report: Report) -> None:
    best = best_schedule(rows)
    if best is not None and (pairs := _pairs(service, best[1], LOST)) is not None:
        lost = paired_ratio(*pairs)
        extra = service.mean(RETRAINS) - best[1].mean(RETRAINS)
        declined = service.mean(DECLINED) / max(best[1].mean(DECLINED), 1e-9)
        report.bars += [
            Bar(f"{name}: money lost ÷ {best[0]}'s", lost.value, LOST_MAX, False),
            Bar(f"{name}: retrains − {best[0]}'s", extra, 0, False),
            Bar(f"{name}: false declines ÷ {best[0]}'s", declined, FALSE_DECLINES_MAX, False),
        ]
        report.notes.append(f"{name}: money lost ÷ {best[0]}'s {lost.value:.2f} {_bounds(lost)}")
    never = rows.get(NEVER)
    if never is not None and never.mean(RECALL) <= STATIC_RECALL:
        report.bars.append(Bar(f"{name}: recall", service.mean(RECALL), RECALL_MIN))
    elif never is not None:
        report.notes.append(
            f"{name}: the model that is never retrained keeps a recall of {never.mean(RECALL):.2f}, above "
            f"{STATIC_RECALL}, so no bar is set on the service's {service.mean(RECALL):.2f}"
        )


def _against_oracle(service: Seeds, oracle: Seeds | None, name: str, report: Report) -> None:
    pairs = _pairs(service, oracle, LOST)
    if oracle is None or pairs is None:
        return
    lost = paired_ratio(*pairs)
    report.notes.append(
        f"{name}: distance to the oracle: money lost × {lost.value:.2f} {_bounds(lost)}, "
        f"recall {service.mean(RECALL) - oracle.mean(RECALL):+.3f}"
    )


def _against_poisoner(rows: Mapping[str, Seeds], name: str, service: Seeds, report: Report) -> None:
    budget = max(service.service("emergencies_max"))
    driven = [sum(played.service["triggers"].get(it, 0) for it in EMERGENCIES) for played in service.runs]
    together = max(service.service("emergencies_together"))
    report.bars.append(
        Bar(f"{name}: emergency retrains within a span of their budget", together, budget, False)
    )
    report.notes.append(
        f"{name}: emergency retrains a run {np.mean(driven):.1f}, {together} within a span of their budget "
        f"at most, of {budget} allowed; retrains in all "
        f"{service.mean(RETRAINS):.1f}"
    )
    pairs = _pairs(service, rows.get(UNDEFENDED), LOST)
    if pairs is not None:
        lost = paired_ratio(*pairs)
        report.notes.append(
            f"{name}: money lost with guard, gate and sentinels ÷ without {lost.value:.2f} "
            f"{_bounds(lost)}; frozen retrains a run: "
            f"{np.mean([played.service['cycles']['frozen'] for played in service.runs]):.1f}"
        )


def _against_held_out(service: Seeds, known: Seeds | None, name: str, report: Report) -> None:
    for column in (RECALL, VALUE) if known is not None else ():
        pairs = _pairs(service, known, column)
        share = paired_ratio(*pairs).value if pairs is not None else float("nan")
        report.bars.append(Bar(f"{name}: {column} ÷ known strategies'", share, HELD_OUT_SHARE))


def _as_hard_for_the_oracle(held: Seeds | None, known: Seeds | None, name: str, report: Report) -> None:
    """Say how much harder the strategies are for one who knows all: what it loses, too, is no memory."""
    if held is None:
        return
    for column in (RECALL, VALUE):
        if (pairs := _pairs(held, known, column)) is not None:
            share = paired_ratio(*pairs).value
            report.notes.append(f"{name}: the oracle's {column} ÷ its own on known strategies {share:.2f}")
