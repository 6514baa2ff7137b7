"""Polluted data and what mends it: Handbook payments through the running service, under load.

    import of seventeen weeks ─▶ first champion, sentinels ─▶ four weeks streamed in three worlds:
      clean | targeted (one scenario's frauds called legitimate) | outage (two days without labels)
    then per row, on a copy of the world: a day under load, in which a remedy is carried out
      ─▶ a week streamed and measured: scores of the replies against the truth

The rows after a retrain on polluted data start with that version as champion. Seconds to a
clean champion run from the call to the first reply by the version that mends. Where the
gate lets a version wait, it is promoted by hand, and the row says so. A payment that is
not answered, or answered with an error, is a failed request; nothing is sent twice.

`--quick` takes a fifth of the customers, nine weeks, small boosters, and no outage.
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
from pathlib import Path

import polars as pl

from benchmarks.handbook_data import CONFIG, is_there, take_data
from benchmarks.pollution_cases import CASES, FIRST_US, QUICK, Case, Plan, Result, report_of
from benchmarks.pollution_feed import SCENARIO, Feed, World
from benchmarks.pollution_quality import judge
from benchmarks.pollution_remedies import exclude_and_retrain, retrain, said
from benchmarks.pollution_service import ACTOR, MODEL, Desk, Load, Place, service
from benchmarks.report import finish, parser
from benchmarks.stream import LABEL_DELAY_US, calls_of, read_payments
from benchmarks.workspace import workspace
from fraud.clock import DAY_US
from fraud.guard.finding import CHECKS
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.sentinels import SentinelDesk
from fraud.serving.history import import_history

SENTINELS = 100
"""Frauds in a set, at most."""
LAX = {
    "FRAUD__GATE__ALERT_SHIFT_MAX": "1e6",
    "FRAUD__GATE__CALIBRATION_RATIO_MAX": "1e6",
    "FRAUD__GATE__E_VALUE": "1e9",
    "FRAUD__GATE__RISK_ROWS_MIN": "1000000000",
    "FRAUD__GATE__SCORING_RATIO_MAX": "1e6",
}
"""A gate that proves nothing and rejects nothing but broken bundles and forgotten sentinels."""


def main() -> int:
    """Make the worlds, carry out the remedies, report."""
    arguments = parser(__doc__.partition("\n")[0])
    take_data(arguments)
    given = arguments.parse_args()
    if not is_there(given.data):
        return 2
    plan = QUICK if given.quick else Plan()
    started = time.perf_counter()
    with workspace("pollution") as folder:
        run = Run(folder, plan, given)
        run.make_base()
        for world in plan.worlds:
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
        """Return frauds of the last days whose labels have arrived; the champion did not learn from them."""
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
        place = self._crown(place, feed)
        for case in cases:
            if case.crowned:
                self._try(case, place, feed)
        shutil.rmtree(place.folder)

    def _crown(self, world: Place, feed: Feed) -> Place:
        """Retrain on the world's data and have the version serve; return where it does.

        What the gate rejects nobody can promote: then the same is done again
        before a gate that lets everything wait.
        """
        self._say(f"{feed.world}: retraining")
        place = set_guard(self._copy(world, "trial"), on=feed.world == "clean")
        with service(place, feed, retrainer=True) as desk:
            (verdict,) = desk.retrain().verdicts
            if not verdict.version:
                raise RuntimeError(f"no retrain of the {feed.world} world: {said(verdict)}")
            how = "" if verdict.verdict == "REJECT" else desk.crown_newest()
            by_hand = ", promoted by hand" if how and verdict.verdict != "PROMOTE" else ""
            self.notes.append(f"{feed.world}, retrained: {said(verdict)}{by_hand}")
        if how:
            shutil.rmtree(world.folder)
            return place
        shutil.rmtree(place.folder)
        with service(Place(world.folder, {**place.environment, **LAX}), feed, retrainer=True) as desk:
            desk.retrain()
            self.notes.append(f"{feed.world}, retrained again before a lax gate: {desk.crown_newest()}")
        return world

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
        answers = desk.answers
        return Result(case, quality, answers.version, seconds, repair, answers.failed, load.slowest_s)

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
            "FRAUD__SENTINELS__ROWS_MIN": "3",
            **LAX,
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


if __name__ == "__main__":
    sys.exit(main())
