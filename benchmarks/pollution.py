"""Polluted data and what mends it: Handbook payments through the running service, under load.

    import of twelve weeks ─▶ first champion, sentinels ─▶ four weeks streamed in three worlds:
      clean | targeted (one scenario's frauds called legitimate) | outage (two days without labels)
    then per row, on a copy of the world: a day under load, in which a remedy is carried out
      ─▶ a week streamed and measured: scores of the replies against the truth

The rows after a retrain on polluted data start with that version as champion. Seconds to a
clean champion run from the call to the first reply by the version that mends. Where the
gate lets a version wait, it is promoted by hand, and the row says so. A payment that is
not answered, or answered with an error, is a failed request; nothing is sent twice.

`--quick` takes a fifth of the customers, nine weeks and small boosters.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.handbook import CONFIG, DATA, OBTAIN
from benchmarks.pollution_feed import SCENARIO, Feed, World
from benchmarks.pollution_quality import Quality, judge
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
from benchmarks.pollution_service import ACTOR, MODEL, Desk, Load, Place, service
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.stream import LABEL_DELAY_US, calls_of, read_payments
from benchmarks.workspace import workspace
from fraud.clock import DAY_US
from fraud.guard.finding import CHECKS
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.sentinels import SentinelDesk
from fraud.serving.history import import_history

SENTINELS = 100
"""Frauds in a set, at most."""
FIRST_US = int(np.datetime64("2018-04-01", "us").astype(np.int64))
CLOSE = 0.01
"""How near to clean a mended row has to come, average precision."""


@dataclass(frozen=True)
class Plan:
    """Spans of a run, in days from the first payment on, and how much of the data it takes."""

    base_days: int = 84
    days: int = 28
    outage_from: int = 19
    test_days: int = 7
    customers_each: int = 1
    rounds: int = 150

    @property
    def start_us(self) -> int:
        """When the stream begins."""
        return FIRST_US + self.base_days * DAY_US

    @property
    def test_us(self) -> tuple[int, int]:
        """The measured span, end not included."""
        from_us = self.start_us + (self.days + 1) * DAY_US
        return from_us, from_us + self.test_days * DAY_US


QUICK = Plan(base_days=56, days=7, outage_from=3, test_days=2, customers_each=5, rounds=20)


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
            "failed": self.failed,
        }


def main() -> int:
    """Make the worlds, carry out the remedies, report."""
    arguments = parser(__doc__.partition("\n")[0])
    arguments.add_argument("--data", type=Path, default=DATA, help=f"default: {DATA}")
    given = arguments.parse_args()
    if not given.data.is_file():
        text = OBTAIN.format(path=given.data)
        print(text.replace("benchmarks.handbook", "benchmarks.pollution"), file=sys.stderr)
        return 2
    plan = QUICK if given.quick else Plan()
    started = time.perf_counter()
    with workspace("pollution") as folder:
        run = Run(folder, plan, given)
        run.make_base()
        for world in ("clean", "targeted", "outage"):
            run.visit(world)
    report = report_of(run.results, plan, run.notes)
    report.notes.append(f"the whole took {(time.perf_counter() - started) / 60:.0f} minutes")
    return finish(report, given)


class Run:
    """One run of the benchmark in a folder: the base, then one world after the other."""

    def __init__(self, folder: Path, plan: Plan, given: argparse.Namespace) -> None:
        self._folder = folder
        self._plan = plan
        self._data = thin(given.data, folder / "payments.parquet", plan.customers_each)
        self._payments = read_payments(self._data, FIRST_US, plan.test_us[1])
        self._base = Place(folder / "base", environment_of(plan, quick=given.quick))
        self._began = time.perf_counter()
        self.results: list[Result] = []
        self.notes: list[str] = []

    def make_base(self) -> None:
        """Import, train the first champion, set sentinels apart."""
        self._say("base: import")
        place = self._base
        place.folder.mkdir()
        (place.folder / "fraud.toml").write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
        import_history(place.settings, self._data, until_us=self._plan.start_us)
        self._say("base: first champion")
        retrain_once(place)
        store = place.ledger()
        champion = store.state().champion(MODEL)
        store.close()
        if not champion:
            raise RuntimeError("the base has no champion; see `fraud versions` in its folder")
        desk = SentinelDesk.open(place.settings)
        for scenario in (1, 2, 3):
            ids = self._known_frauds(scenario)
            desk.add(MODEL, f"scenario-{scenario}", ids, actor=ACTOR, reason="audited", skip_refused=True)
        for standing in desk.standings():
            self.notes.append(
                f"sentinels {standing.sentinels.pattern}: {len(standing.sentinels)} frauds, "
                f"{champion} alerts on {standing.caught}"
            )
        desk.close()

    def _known_frauds(self, scenario: int) -> list[str]:
        """Return frauds of the last days whose labels have all arrived; the champion has not learned from them."""
        until_us = self._plan.start_us - LABEL_DELAY_US - DAY_US
        frauds = self._payments.filter(
            (pl.col("TX_FRAUD_SCENARIO") == scenario)
            & pl.col("time_us").is_between(until_us - 6 * DAY_US, until_us, closed="left")
        )
        return frauds["TRANSACTION_ID"].cast(pl.String).head(SENTINELS).to_list()

    def visit(self, world: World) -> None:
        """Stream a world's weeks, then try each of its rows on a copy."""
        feed = Feed(world, self._payments, self._plan.start_us, self._plan.days, self._plan.outage_from)
        place = self._copy(self._base, world)
        self._say(f"{world}: streaming {self._plan.days} days")
        with service(place, feed, retrainer=False) as desk:
            desk.stream(range(self._plan.days))
            if desk.answers.failed:
                raise RuntimeError(f"{desk.answers.failed} payments were not answered before any remedy")
        open_workshop(place.settings).copy()
        cases = [case for case in CASES if case.world == world]
        for case in cases:
            if case.sentinels:
                self._try(case, place, feed)
        retire_sentinels(place)
        for case in cases:
            if not case.crowned and not case.sentinels:
                self._try(case, place, feed)
        self._crown(place, feed)
        for case in cases:
            if case.crowned:
                self._try(case, place, feed)
        shutil.rmtree(place.folder)

    def _crown(self, place: Place, feed: Feed) -> None:
        """Retrain on the world's data and have the version serve."""
        self._say(f"{feed.world}: retraining")
        guarded = feed.world == "clean"
        with service(set_guard(place, on=guarded), feed, retrainer=True) as desk:
            reply = desk.retrain()
            if any(verdict.verdict == "FROZEN" for verdict in reply.verdicts):
                raise RuntimeError(f"the guard froze the {feed.world} world: {reply.verdicts[0].reason}")
            self.notes.append(f"{feed.world}, retrained: {desk.crown_newest()} ({reply.verdicts[-1].reason})")

    def _try(self, case: Case, world: Place, feed: Feed) -> None:
        place = set_guard(self._copy(world, "row"), on=case.guard)
        with service(place, feed, retrainer=case.remedy in (retrain, exclude_and_retrain)) as desk:
            result = self._measure(case, desk)
        shutil.rmtree(place.folder)
        self.results.append(result)
        if result.repair.text:
            self.notes.append(f"{case.world}, {case.name}: {result.repair.text}")
        self._say(f"{case.world}, {case.name}: {result.row()} {result.repair.text}")

    def _measure(self, case: Case, desk: Desk) -> Result:
        """Run the day of the remedy and the measured week."""
        plan = self._plan
        load = Load(desk.payer, desk.begin_day(plan.days), desk.answers)
        try:
            repair = case.remedy(desk)
            seconds = load.served(repair.version, repair.asked) if repair.version else float("nan")
        finally:
            rest = load.rest()
        for call in calls_of(rest):
            desk.answers.score(desk.payer, call)
        desk.stream(range(plan.days + 1, plan.days + 1 + plan.test_days))
        from_us, to_us = plan.test_us
        tested = self._payments.filter(pl.col("time_us").is_between(from_us, to_us, closed="left"))
        quality = judge(tested, desk.answers.scores, SCENARIO)
        return Result(case, quality, desk.answers.version, seconds, repair, desk.answers.failed)

    def _copy(self, place: Place, name: str) -> Place:
        folder = self._folder / name
        shutil.copytree(place.folder, folder, ignore=shutil.ignore_patterns("*.log", "*.lock"))
        return Place(folder, place.environment)

    def _say(self, text: str) -> None:
        print(f"{time.perf_counter() - self._began:6.0f} s  {text}", file=sys.stderr, flush=True)


def thin(data: Path, place: Path, each: int) -> Path:
    """Return the data, or a copy with every n-th customer."""
    if each == 1:
        return data
    pl.scan_parquet(data).filter(pl.col("CUSTOMER_ID") % each == 0).sink_parquet(place)
    return place


def environment_of(plan: Plan, *, quick: bool) -> dict[str, str]:
    """Return what differs from the Handbook's configuration."""
    recipe = {
        **tomllib.loads(CONFIG.read_text(encoding="utf-8"))["training"]["recipes"]["full"],
        "rounds": plan.rounds,
    }
    values = ", ".join(f"{key} = {json.dumps(value)}" for key, value in recipe.items())
    environment = {
        "FRAUD__LABELS__SOURCES": '["processor", "chargeback"]',
        "FRAUD__SENTINELS__SOURCE": "chargeback",
        "FRAUD__TRAINING__RECIPES": f"{{ full = {{ {values} }} }}",
        "FRAUD__TRAINING__TRIGGERS__EVERY": "never",
        "FRAUD__MONITORING__SCORER_PORT": "-1",
        "FRAUD__MONITORING__RETRAINER_PORT": "-1",
    }
    if quick:
        environment |= {
            "FRAUD__GATE__FLOOR_AVERAGE_PRECISION": "0.0",
            "FRAUD__GATE__FLOOR_RECALL": "0.0",
            "FRAUD__GATE__EVIDENCE_FRAUDS_MIN": "10",
            "FRAUD__GATE__CALIBRATION_RATIO_MAX": "1e6",
            "FRAUD__GATE__ALERT_SHIFT_MAX": "1e6",
            "FRAUD__SENTINELS__ROWS_MIN": "3",
        }
    return environment


def set_guard(place: Place, *, on: bool) -> Place:
    """Return the place with every check of the guard as it is by default, or off."""
    off: Mapping[str, str] = {f"FRAUD__GUARD__{check.upper()}__ACTION": "off" for check in CHECKS}
    kept = {key: value for key, value in place.environment.items() if key not in off}
    return Place(place.folder, kept if on else {**kept, **off})


def retrain_once(place: Place) -> None:
    """Run one cycle in a process of its own."""
    command = [sys.executable, "-m", "fraud.cli", "--config", str(place.folder / "fraud.toml"), "retrain"]
    subprocess.run(
        [*command, "--once", "--reason", "first"],
        check=True,
        stdout=sys.stderr,
        env={**os.environ, **place.environment},
    )


def retire_sentinels(place: Place) -> None:
    """Let go of every set."""
    desk = SentinelDesk.open(place.settings)
    for standing in desk.standings():
        desk.retire(MODEL, standing.sentinels.pattern, actor=ACTOR, reason="to see what goes without")
    desk.close()


def report_of(results: list[Result], plan: Plan, notes: list[str]) -> Report:
    """Put rows in order and hold them against the bars."""
    by_case: dict[tuple[str, str], Result] = {(it.case.world, it.case.name): it for it in results}
    clean = by_case["clean", CLEAN.name]
    ordered = [by_case[case.world, case.name] for case in CASES]
    bars = []
    for world in ("targeted", "outage"):
        for name in (EXCLUDED, RETRAINED):
            apart = by_case[world, name].quality.average_precision - clean.quality.average_precision
            bars.append(Bar(f"{world}, {name}: AP − clean", apart, -CLOSE))
    first = by_case["targeted", EXCLUDED].served
    for world, name in (("targeted", GUARDED), ("targeted", KEPT), ("outage", GUARDED)):
        bars.append(Bar(f"{world}, {name}: undefended case stopped", by_case[world, name].served == first, 1))
    rolled = [it.seconds for it in ordered if it.case.remedy in (roll_back, roll_back_muted, exclude)]
    bars.append(Bar("slowest rollback, seconds to the first reply", max(rolled), 1, at_least=False))
    failed = sum(it.failed for it in ordered)
    bars.append(Bar("failed requests", failed, 0, at_least=False, fair_when_quick=True))
    tested = clean.quality
    notes = [
        f"measured: {tested.rows:,} payments with {tested.frauds:,} frauds, {plan.test_days} days",
        *notes,
    ]
    return Report("polluted labels through the running service", [it.row() for it in ordered], bars, notes)


if __name__ == "__main__":
    sys.exit(main())
