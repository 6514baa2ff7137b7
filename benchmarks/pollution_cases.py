"""What the pollution benchmark tries: its spans, its rows, and the bars they are held against."""

from dataclasses import dataclass

import numpy as np

from benchmarks.pollution_feed import World
from benchmarks.pollution_quality import Quality
from benchmarks.pollution_remedies import (
    Remedy,
    Repair,
    exclude,
    exclude_and_retrain,
    nothing,
    retrain,
    roll_back,
    roll_back_muted,
)
from benchmarks.report import Bar, Report
from fraud.clock import DAY_US

FIRST_US = int(np.datetime64("2018-04-01", "us").astype(np.int64))
CLOSE = 0.01
"""How near to clean a mended row has to come, average precision."""


@dataclass(frozen=True)
class Plan:
    """Spans of a run, in days from the first payment on, and how much of the data it takes.

    The base is long enough for a full training window behind the first champion, 90 days
    and 28 to the cut: what a row differs by is then pollution, not how much there was to learn from.
    """

    base_days: int = 118
    days: int = 28
    outage_from: int = 19
    test_days: int = 7
    customers_each: int = 1
    rounds: int = 150
    worlds: tuple[World, ...] = ("clean", "targeted", "outage")

    @property
    def start_us(self) -> int:
        """When the stream begins."""
        return FIRST_US + self.base_days * DAY_US

    @property
    def test_us(self) -> tuple[int, int]:
        """The measured span, end not included."""
        from_us = self.start_us + (self.days + 1) * DAY_US
        return from_us, from_us + self.test_days * DAY_US


QUICK = Plan(
    base_days=56,
    days=7,
    outage_from=0,
    test_days=2,
    customers_each=5,
    rounds=20,
    worlds=("clean", "targeted"),
)


@dataclass(frozen=True)
class Case:
    """One row: a world, what is done, and what stands guard; `crowned`: the polluted version serves."""

    world: World
    name: str
    remedy: Remedy
    crowned: bool = True
    guard: bool = False
    sentinels: bool = False


UNDEFENDED, GUARDED, KEPT = "polluted, undefended", "guard on", "sentinels on"
EXCLUDED, RETRAINED = "rollback with exclusion", "exclusion and retrain"
CLEAN = Case("clean", "clean", nothing)
CASES = (
    CLEAN,
    Case("targeted", UNDEFENDED, nothing),
    Case("targeted", GUARDED, retrain, crowned=False, guard=True),
    Case("targeted", KEPT, retrain, crowned=False, sentinels=True),
    Case("targeted", "rollback of the model alone", roll_back),
    Case("targeted", "rollback, labels since T muted", roll_back_muted),
    Case("targeted", EXCLUDED, exclude),
    Case("targeted", RETRAINED, exclude_and_retrain),
    Case("outage", UNDEFENDED, nothing),
    Case("outage", GUARDED, retrain, crowned=False, guard=True),
    Case("outage", EXCLUDED, exclude),
    Case("outage", RETRAINED, exclude_and_retrain),
)


@dataclass(frozen=True)
class Result:
    """What a row gave."""

    case: Case
    quality: Quality
    served: str
    seconds: float
    repair: Repair
    failed: int
    slowest_s: float

    def row(self) -> dict[str, object]:
        """Return the row of the table."""
        return {
            "pollution": self.case.world,
            "what": self.case.name,
            "serves": self.served,
            "AP": self.quality.average_precision,
            "recall, 0.5 % FPR": self.quality.recall,
            "recall, attacked": self.quality.attacked_recall,
            "s to clean champion": self.seconds,
            "s to clean state": self.repair.state_s,
            "slowest reply, s": self.slowest_s,
            "failed": self.failed,
        }


def report_of(results: list[Result], plan: Plan, notes: list[str]) -> Report:
    """Put rows in order and hold them against the bars."""
    by_case: dict[tuple[str, str], Result] = {(it.case.world, it.case.name): it for it in results}
    clean = by_case["clean", CLEAN.name]
    ordered = [by_case[case.world, case.name] for case in CASES if case.world in plan.worlds]
    bars = []
    for world in plan.worlds[1:]:
        for name in (EXCLUDED, RETRAINED):
            apart = by_case[world, name].quality.average_precision - clean.quality.average_precision
            bars.append(Bar(f"{world}, {name}: AP − clean", apart, -CLOSE))
    for held in ordered:
        if held.case.name in (GUARDED, KEPT):
            name = f"{held.case.world}, {held.case.name}: undefended case stopped"
            bars.append(Bar(name, float(held.repair.stopped), 1))
    rolled = [it.seconds for it in ordered if it.case.remedy in (roll_back, roll_back_muted, exclude)]
    bars.append(Bar("slowest rollback, seconds to the first reply", float(np.max(rolled)), 1, at_least=False))
    failed = sum(it.failed for it in ordered)
    bars.append(Bar("failed requests", failed, 0, at_least=False, fair_when_quick=True))
    tested = clean.quality
    notes = [
        f"measured: {tested.rows:,} payments with {tested.frauds:,} frauds, {plan.test_days} days",
        *notes,
    ]
    return Report("polluted labels through the running service", [it.row() for it in ordered], bars, notes)
