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

from benchmarks.adaptation_intervals import UNKNOWN, mean_interval, paired_ratio
from benchmarks.adaptation_rows import (
    DAILY_ANALYSTS,
    HARDENED,
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
from fraud.adversary.contest_figures import RECOVERED_SHARE, Comeback
from fraud.evaluation.resampling import Interval
from fraud.registry.cycles import REQUEST

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

    def comeback(self) -> Comeback:
        """Return how the changes of strategy ended, those of all seeds pooled."""
        return Comeback.of(it for played in self.runs for it in played.result.recoveries(FIRST_DAY))

    def emergencies(self) -> dict[str, int]:
        """Return how many emergencies each trigger that was on has started over all seeds; {} for none on."""
        told = [played.service.get("emergencies", {}) for played in self.runs]
        return {trigger: sum(it.get(trigger, 0) for it in told) for trigger in told[0]}


LOST, RECALL, VALUE = "lost a day", "recall at .5 % FPR", "value detected"
RETRAINS, DECLINED = "retrains", "false declines a day"
ESTIMATED = {"recall": (RECALL, 2), "value": (VALUE, 2), "lost": (LOST, 0), "declined": (DECLINED, 0)}
"""Columns of the report that have an interval: of what, and with how many digits in a table."""
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
        _emergencies_of(table[key], "/".join(key), report)
        _bars_of(table, key, report)
    report.notes.append(
        f"days {FIRST_DAY} to {days}, seeds as counted; intervals are 95 %, Student's t over seeds; money in "
        f"major units a day; days to {RECOVERED_SHARE:.0%} of the recall before: the median over changes of "
        "strategy after which it fell, all seeds pooled, where one that never came back took longest; of the "
        "latter there were too many where it says 'not within', half of all were watched as long; back: how "
        "many came back of how many fell; declined are honest payments, a day"
    )
    rows = {row for key in table for row in table[key]}
    with_analysts = " and ".join(sorted(rows & {SERVICE, HARDENED, UNDEFENDED, DAILY_ANALYSTS}))
    report.notes.append(f"analysts, who look at {REVIEWS} payments a day, have: {with_analysts or 'none'}")
    return report


def row_of(
    key: Key, row: str, seeds: Seeds, oracle: Seeds | None, best: tuple[str, Seeds] | None
) -> dict[str, Any]:
    """Return the row of the report: means over seeds, with intervals, and against oracle and schedule."""
    comeback = seeds.comeback()
    estimates: dict[str, float] = {}
    for name, (column, _) in ESTIMATED.items():
        found = mean_interval(seeds.each(column))
        estimates |= {name: found.value, f"{name} ±": found.high - found.value}
    return {
        "scenario": "/".join(key),
        "row": row,
        "seeds": len(seeds.by_seed),
        **estimates,
        "÷ schedule": _ratio(seeds, None if best is None else best[1]),
        "÷ oracle": _ratio(seeds, oracle),
        "days to 90 %": comeback.days,
        "days at least": comeback.at_least,
        "back": comeback.back,
        "fell": comeback.fell,
        "retrains": seeds.mean(RETRAINS),
        "emergencies": seeds.emergencies(),
    }


def in_words(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the report as a table has room for; what emergencies there were stands in notes."""
    estimates = {}
    for name, (_, digits) in ESTIMATED.items():
        value, half = (f"{row[key]:,.{digits}f}".removeprefix("0") or "0" for key in (name, f"{name} ±"))
        estimates[name] = value if np.isnan(row[f"{name} ±"]) else f"{value} ± {half}"
    within, least = row["days to 90 %"], row["days at least"]
    return {
        **{name: row[name] for name in ("scenario", "row", "seeds")},
        **estimates,
        "÷ sched.": row["÷ schedule"],
        "÷ oracle": row["÷ oracle"],
        "days to 90 %": f"not within {least:g}"
        if np.isinf(within)
        else f"{within:g}"
        if row["fell"]
        else "–",
        "back": f"{row['back']}/{row['fell']}",
        "retrains": row["retrains"],
    }


def _emergencies_of(rows: Mapping[str, Seeds], name: str, report: Report) -> None:
    for row, seeds in rows.items():
        if started := seeds.emergencies():
            counts = ", ".join(f"{trigger} {count}" for trigger, count in started.items())
            none = "" if any(started.values()) else ": none ever started, so no figure shows what they do"
            report.notes.append(f"{name}: {row}: emergencies: {counts}{none}")


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
    rows, name, bandit = table[key], "/".join(key), (key[0], BANDIT, key[2])
    service, known = rows.get(SERVICE), table.get(bandit, {})
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
        _because_of_the_poisoner(service, known.get(SERVICE), name, report)
    else:
        if held_out(key[1]):
            _against_held_out(service, known.get(SERVICE), name, report)
        else:
            _as_hard_for("the service", service, known.get(SERVICE), name, report)
        _as_hard_for("the oracle", oracle_of(table, key), oracle_of(table, bandit), name, report)


def _against_schedules(rows: Mapping[str, Seeds], name: str, service: Seeds, report: Report) -> None:
    best = best_schedule(rows)
    if best is not None:
        whose = f"{best[0]}'s"
        extra = service.mean(RETRAINS) - best[1].mean(RETRAINS)
        _bar_of(report, f"{name}: money lost ÷ {whose}", _pairs(service, best[1], LOST), LOST_MAX, False)
        report.bars.append(Bar(f"{name}: retrains − {whose}", extra, 0, False))
        declined = _pairs(service, best[1], DECLINED)
        _bar_of(report, f"{name}: false declines ÷ {whose}", declined, FALSE_DECLINES_MAX, False)
    never = rows.get(NEVER)
    if never is not None and never.mean(RECALL) <= STATIC_RECALL:
        report.bars.append(Bar(f"{name}: recall", service.mean(RECALL), RECALL_MIN))
    elif never is not None:
        report.notes.append(
            f"{name}: the model that is never retrained keeps a recall of {never.mean(RECALL):.2f}, above "
            f"{STATIC_RECALL}, so no bar is set on the service's {service.mean(RECALL):.2f}"
        )


def _bar_of(
    report: Report, name: str, pairs: tuple[list[float], list[float]] | None, bound: float, at_least: bool
) -> None:
    """Set a bar for a ratio over seeds, and note its interval; without pairs it is short."""
    found = paired_ratio(*pairs) if pairs is not None else UNKNOWN
    report.bars.append(Bar(name, found.value, bound, at_least))
    report.notes.append(f"{name} {found.value:.2f} {_bounds(found)}")


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
    driven = sum(service.emergencies().values()) / len(service.runs)
    together = max(service.service("emergencies_together"))
    report.bars.append(
        Bar(f"{name}: emergency retrains within a span of their budget", together, budget, False)
    )
    report.notes.append(
        f"{name}: emergency retrains a run {driven:.1f}, {together} within a span of their budget "
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


def _because_of_the_poisoner(service: Seeds, calm: Seeds | None, name: str, report: Report) -> None:
    """Say how many retrains more there were with him: those asked for after an exclusion have no budget."""
    if (pairs := _pairs(service, calm, RETRAINS)) is None:
        return
    more = mean_interval([mine - other for mine, other in zip(*pairs, strict=True)])
    asked = np.mean([played.service["triggers"].get(REQUEST, 0) for played in service.runs])
    report.notes.append(
        f"{name}: retrains in all, with the poisoner less without him {more.value:+.1f} {_bounds(more)}; "
        f"{asked:.1f} a run were asked for after exclusions, outside any budget"
    )


def _against_held_out(service: Seeds, known: Seeds | None, name: str, report: Report) -> None:
    for column in (RECALL, VALUE) if known is not None else ():
        pairs = _pairs(service, known, column)
        _bar_of(report, f"{name}: {column} ÷ known strategies'", pairs, HELD_OUT_SHARE, True)


def _as_hard_for(whose: str, row: Seeds | None, bandit: Seeds | None, name: str, report: Report) -> None:
    """Say how much harder than the bandit they are for a row: what the oracle loses, too, is no memory."""
    if row is None:
        return
    for column in (RECALL, VALUE):
        if (pairs := _pairs(row, bandit, column)) is not None:
            share = paired_ratio(*pairs)
            report.notes.append(
                f"{name}: {whose}'s {column} ÷ its own against the bandit {share.value:.2f} {_bounds(share)}"
            )
