"""The guard on the Handbook's stream: false alarms on clean days, days until pollution is seen.

    parquet ─ fraud import ─▶ log ─▶ archive: payments with the features as logged
      ─ a champion every four weeks ─▶ scores as a service would have logged them
      ─ honest feeds, or polluted from a day on ─▶ a judgement at the end of each day

The judging is `fraud.retrainer.guarding.judge_data`, as the retrainer calls it before
a cycle, on tables with the archive's columns. Labels: chargebacks of a day's frauds in
one batch, seven days after the day's end; in the rows `two sources` beside them a
desk's verdicts on the hundred highest scores of a day, next morning. A judgement that
froze is repeated with the next day's data, as a retrainer would.

The features of a polluted run are those of the clean stream. The data is simulated:
real feeds are less even, and real bounds have to be wider.

`--quick` takes nine weeks and one start a pollution.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from benchmarks.guard_feed import (
    Frames,
    Pollution,
    bought,
    chargebacks,
    completed,
    desk,
    drip,
    flip,
    flood,
    frames,
    outage,
    silence,
)
from benchmarks.handbook_data import CONFIG, is_there, take_data
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.workspace import workspace
from fraud.bundle.boosting import load_booster, margins_of
from fraud.bundle.calibrator import Calibrator
from fraud.clock import DAY_US
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.guard.finding import Finding
from fraud.registry.guard_reports import GuardReport
from fraud.retrainer.guarding import judge_data
from fraud.serving.history import import_history
from fraud.settings import Settings, load_settings
from fraud.settings.learning import Recipe
from fraud.training.fit import fit
from fraud.training.history import Cut, History
from fraud.training.weights import draws_of

MODEL = "card"
STARTS = (59, 83, 111, 146)
"""First polluted days, of different weekdays."""
FIRST_CHAMPION, CHAMPION_DAYS, LABEL_DAYS = 30, 28, 8
"""Days until the first champion, between two of them, and from a payment to its label."""
RAMP_DAYS = 45
"""Fraud ramps up before: freezes there are counted apart."""
NEW_SOURCE = ("source_share", "submitter_share")
"""A desk that begins gives half of the frauds at once: a person says so, once, by these names."""
QUICK_DAYS = 63
CHAMPION = Recipe(kind="full", rounds=80, max_depth=5, max_bin=256, legitimate_share=0.1)
WATCHED_DAYS = 28
"""How long a pollution runs before it counts as not seen."""


@dataclass(frozen=True)
class World:
    """Payments with truth and scores, and the settings they are judged by; `first` is the first day."""

    settings: Settings
    spec: FeatureSpec
    payments: pl.DataFrame
    first: int

    @property
    def days(self) -> int:
        """Days of the stream."""
        return int(self.payments["event_time_us"].to_numpy()[-1] // DAY_US) - self.first + 1


@dataclass(frozen=True)
class Case:
    """A pollution of one of the feeds; the days it takes to be seen are barred, or only reported."""

    name: str
    pollution: Pollution
    two_sources: bool = False
    reports: bool = False
    barred: bool = True


CASES = (
    Case("silence: chargebacks stop", silence("chargeback")),
    Case("silence: chargebacks stop", silence("chargeback"), two_sources=True),
    Case("silence: the desk stops", silence("analyst"), two_sources=True),
    Case("outage: labels and outcomes stop for two days", outage(2), two_sources=True, reports=True),
    Case("flood: 200 false frauds in the batch", flood("chargeback", "bank", 200, into_batch=True)),
    Case("flood: 60 false frauds in the batch", flood("chargeback", "bank", 60, into_batch=True)),
    Case("flood: 100 by a new submitter", flood("chargeback", "mallory", 100, into_batch=False)),
    Case(
        "flood: 100 by a new submitter",
        flood("analyst", "mallory", 100, into_batch=False),
        two_sources=True,
    ),
    Case("flip: a day's chargebacks say legitimate", flip("chargeback")),
    Case("flip: a day's chargebacks say legitimate", flip("chargeback"), two_sources=True),
    Case("flip: the desk calls a day's frauds legitimate", flip("analyst"), two_sources=True),
    Case("drip: 2 % of the verdicts a day", drip(0.02), barred=False),
    Case("drip: 2 % of the verdicts a day", drip(0.02), two_sources=True, barred=False),
    Case("bought: an analyst calls 20 frauds a day legitimate", bought(20), two_sources=True, barred=False),
    Case("drip: 10 % of the verdicts a day", drip(0.10), barred=False),
)


def main() -> int:
    """Load, judge the clean days, pollute, report."""
    arguments = parser(__doc__.partition("\n")[0])
    take_data(arguments)
    given = arguments.parse_args()
    if not is_there(given.data):
        return 2
    report = Report("guard: freezes on clean days, days until pollution is seen")
    world = load(given, report)
    clean_days(world, report)
    polluted(world, report, quick=given.quick)
    return finish(report, given)


def load(given: argparse.Namespace, report: Report) -> World:
    """Import the history, read back what was logged, and score it as champions would have."""
    return scored(imported(given, report), report)


def imported(given: argparse.Namespace, report: Report) -> World:
    """Import the history and read back what was logged, without any score."""
    started = time.perf_counter()
    with workspace("guard") as folder:
        settings = load_settings(CONFIG, {"FRAUD__SERVICE__DATA_DIR": str(folder / "data")})
        first_us = int(
            pl.scan_parquet(given.data).select(pl.col("TX_DATETIME").min().dt.epoch("us")).collect().item()
        )
        first = first_us // DAY_US
        until_us = (first + QUICK_DAYS) * DAY_US if given.quick else None
        import_history(settings, given.data, until_us=until_us)
        spec = FeatureSpec.of(settings)
        log = SqliteEventLog.open(
            settings.places.log, entity_names=settings.schema_.entity_names, writable=False
        )
        archive = open_archive(settings)
        archive.copy_from(log)
        log.close()
        truth = pl.scan_parquet(given.data).select(
            pl.col("TRANSACTION_ID").cast(pl.String).alias("transaction_id"),
            pl.col("TX_FRAUD").cast(pl.Boolean).alias("is_fraud"),
        )
        payments = archive.transactions().join(truth, on="transaction_id").sort("position").collect()
    # Labels are not sent to the log here, so positions count payments alone.
    numbered = payments.with_columns(position=pl.int_range(1, pl.len() + 1))
    report.notes.append(f"imported {len(payments):,} payments in {time.perf_counter() - started:.0f} s")
    return World(settings, spec, numbered, first)


def scored(world: World, report: Report) -> World:
    """Fill in `score`: each champion is trained on what was known, and scores the next four weeks."""
    started = time.perf_counter()
    payments = world.payments
    names = [f"f_{name}" for name in world.spec.select(world.settings.models[MODEL].features)]
    matrix = np.column_stack([payments[name].to_numpy() for name in names]).astype(np.float32)
    days = payments["event_time_us"].to_numpy() // DAY_US - world.first
    is_fraud = payments["is_fraud"].to_numpy()
    kept = is_fraud | (draws_of(payments["transaction_id"]) < CHAMPION.legitimate_share)
    weights = np.where(is_fraud, 1.0, 1 / CHAMPION.legitimate_share)
    scores = np.full(len(payments), np.nan)
    for day in range(FIRST_CHAMPION, world.days, CHAMPION_DAYS):
        known = day - LABEL_DAYS
        fitted, held = np.flatnonzero(kept & (days < known - 5)), (days >= known - 5) & (days < known)
        raw = fit(
            matrix[fitted], is_fraud[fitted], weights[fitted], CHAMPION, categoricals=0, seed=7, nthread=2
        )
        booster = load_booster(raw)

        calibrator = Calibrator.fit(
            margins_of(booster, matrix[held]), is_fraud[held], np.ones(int(held.sum()))
        )
        served = (days >= day) & (days < day + CHAMPION_DAYS)
        scores[served] = calibrator(margins_of(booster, matrix[served]))
    report.notes.append(f"champions fitted and scores filled in in {time.perf_counter() - started:.0f} s")
    series = pl.Series("score", scores, pl.Float64).fill_nan(None)
    return replace(world, payments=payments.with_columns(series))


def feeds(world: World, case: Case | None, day: int, *, two_sources: bool) -> Frames:
    """Return the history with honest feeds, or polluted from a day of the stream on."""
    payments = world.payments
    labels = chargebacks(payments)
    if two_sources:
        labels = pl.concat([labels, desk(payments)])
    if case is None:
        return frames(payments, labels)
    start = world.first + day
    reports = case.pollution(payments, completed(payments), start) if case.reports else None
    return frames(payments, case.pollution(payments, labels, start), reports)


def judge_day(
    world: World,
    history: Frames,
    day: int,
    former: GuardReport | None,
    overrides: Sequence[str] = (),
) -> tuple[GuardReport, tuple[Finding, ...]]:
    """Judge at the end of a day, as a retraining process would before a cycle."""
    cut = Cut(len(world.payments), (world.first + day + 1) * DAY_US - 1)
    seen = History(history, world.spec, world.settings, cut)
    judgement = judge_data(seen, MODEL, former, overrides)
    body = {**judgement.to_dict(), "cut_position": cut.position, "cut_time_us": cut.time_us}
    return GuardReport.of(body, former, day, cut.time_us), judgement.ruling.findings


def clean_days(world: World, report: Report) -> None:
    """Judge every day of the honest feeds; a freeze is a false alarm."""
    report.notes.append(
        f"two sources: the desk begins on day {FIRST_CHAMPION + 1}, with the first scores; its first day is "
        f"passed over by name ({', '.join(NEW_SOURCE)}), as a person would who knows of it"
    )
    for two_sources in (False, True):
        history = feeds(world, None, 0, two_sources=two_sources)
        former: GuardReport | None = None
        frozen: list[int] = []
        noted = 0
        started = time.perf_counter()
        for day in range(world.days):
            first_desk = two_sources and day == FIRST_CHAMPION + 1
            former, findings = judge_day(world, history, day, former, NEW_SOURCE if first_desk else ())
            noted += any(finding.action == "note" for finding in findings)
            if former.frozen:
                frozen.append(day)
                reasons = "; ".join(f"{it.check}: {it.reason}" for it in findings)
                report.notes.append(f"clean day {day} frozen: {reasons}")
        seconds = (time.perf_counter() - started) / world.days
        after = sum(day >= RAMP_DAYS for day in frozen)
        report.rows.append(
            {
                "what": "clean",
                "feed": _feed(two_sources),
                "days": world.days,
                "frozen": len(frozen),
                "frozen after day 45": after,
                "noted": noted,
                "s a judgement": round(seconds, 3),
            }
        )
        report.bars.append(Bar(f"freezes on clean days, {_feed(two_sources)}", after, 1, at_least=False))


def polluted(world: World, report: Report, *, quick: bool) -> None:
    """Run each pollution from several days on, and count the days until a judgement freezes."""
    report.notes.append(
        "a source's expected label interval is the median time between its batches: one day here; "
        "1 day seen: by the judgement at the end of the first polluted day"
    )
    for case in CASES:
        delays, checks = [], set()
        for start in STARTS[:1] if quick else STARTS:
            delay, named = seen_after(world, case, start)
            delays.append(delay)
            checks |= named
        known = [delay for delay in delays if delay is not None]
        report.rows.append(
            {
                "what": case.name,
                "feed": _feed(case.two_sources),
                "starts": len(delays),
                "seen": len(known),
                "days, median": float(np.median(known)) if known else None,
                "days, most": max(known, default=None),
                "by": ", ".join(sorted(checks)) or "nothing",
            }
        )
        if case.barred:
            worst = float(max(known)) if len(known) == len(delays) else float("nan")
            name = f"{case.name}, {_feed(case.two_sources)}: days until seen"
            report.bars.append(Bar(name, worst, 1, at_least=False))


def seen_after(world: World, case: Case, start: int) -> tuple[int | None, set[str]]:
    """Return the days until it was seen, None for never, and the checks that saw it.

    Seen is what froze; a drip, which no day shows, is also seen when it is noted.
    """
    history = feeds(world, case, start, two_sources=case.two_sources)
    former, _ = judge_day(world, history, start - 1, None)
    for day in range(start, min(start + WATCHED_DAYS, world.days)):
        former, findings = judge_day(world, history, day, former)
        if former.frozen:
            return day - start + 1, {finding.check for finding in findings if finding.action == "freeze"}
        if findings and not case.barred:
            return day - start + 1, {f"{finding.check} (noted)" for finding in findings}
    return None, set()


def _feed(two_sources: bool) -> str:
    return "two sources" if two_sources else "chargebacks"


if __name__ == "__main__":
    sys.exit(main())
