"""Adaptive attackers in a closed loop against the running service, fixed schedules, an online learner.

    honest payments (Handbook, own economy) + a gang that learns what pays ─▶ who defends, day by day
      never retrained · weekly · daily · online forest · this service · oracle      attackers the same for all
    held-out strategies (`--strategies`, `--mutated`), other learners (`--attackers`) and poisoners of
    labels ─▶ this service

A quarter of the cards, 90 days, every row in every scenario and seed. The service runs as two
processes under the log clock; its retrains are those its triggers start, one an evening at most, as a
daily schedule's. All rows decline about half a per cent of honest payments. Fixed schedules come with
28 and with 90 days of rows, one of them with the service's rules for labels, and the best of them is the
opponent, at the same label delay. Worlds and attackers are simulated, so figures compare
defenders and are no expectation.

`--quick` plays 25 days of one seed in our own economy against few rows.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from benchmarks.adaptation_figure import draw
from benchmarks.adaptation_online import INSTALL, is_installed
from benchmarks.adaptation_report import FIRST_DAY, Table, in_words, report_of, table_of
from benchmarks.adaptation_rows import DAILY, NEVER, ON_REQUEST, ONLINE, ORACLE, PLAIN, SERVICE, UNDEFENDED
from benchmarks.adaptation_runs import Results, execute, runs_of
from benchmarks.adaptation_worlds import (
    BANDIT,
    LEARNERS,
    MATURITY_US,
    MUTATED,
    NAMES,
    POISONERS,
    WORLDS,
    Scenario,
    Sources,
)
from benchmarks.handbook_data import is_there, take_data
from benchmarks.report import Report, finish, parser
from benchmarks.workspace import workspace
from fraud.errors import FraudError

DELAYS = ("7d", "1d")
SEEDS, POISONER_SEEDS = 5, 1
QUICK_DAYS, QUICK_ROWS = 25, (SERVICE, NEVER, DAILY, ORACLE)


def main() -> int:
    """Play every scenario, report."""
    given = arguments()
    if "handbook" in given.worlds and not is_there(given.data):
        return 2
    sources = Sources(given.days, given.data, given.strategies)
    runs = runs_of(scenarios_of(given), given.rows)
    started = time.perf_counter()
    try:
        with nullcontext(given.resume) if given.resume else workspace("adaptation-results") as folder:
            results = Results(folder, sources)
            done = execute(runs, sources, results, given.jobs)
    except (FraudError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    report = report_of(done, given.days)
    report.notes.append(f"the whole took {(time.perf_counter() - started) / 60:.0f} minutes")
    if len(results.commits) > 1:
        report.notes.append(f"runs of several commits: {', '.join(sorted(results.commits))}")
    if not is_installed() and (given.rows is None or ONLINE in given.rows):
        report.notes.append(INSTALL)
    if given.figure is not None:
        _draw(table_of(done, given.days), slowest_of(given.delays), given.figure, report)
    if given.output == "table":
        report.rows = [in_words(row) for row in report.rows]
    return finish(report, given)


def _draw(table: Table, delay: str, path: Path, report: Report) -> None:
    """Draw the figure; what was played for hours is reported though it cannot be drawn."""
    try:
        draw(table, delay, path)
    except (OSError, ValueError) as error:
        report.notes.append(f"no figure: {error}")
        print(f"{path}: {error}", file=sys.stderr)


def slowest_of(delays: Sequence[str]) -> str:
    """Return the longest of some label delays."""
    return max(delays, key=MATURITY_US.__getitem__)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; `words` default to the process's own."""
    made = parser((__doc__ or "").partition("\n")[0])
    rows = (*PLAIN, *ON_REQUEST, ORACLE, UNDEFENDED)
    take_data(made)
    made.add_argument("--seeds", type=int, default=SEEDS, help=f"how many; default: {SEEDS}")
    made.add_argument("--poisoner-seeds", type=int, default=POISONER_SEEDS, help="0: no poisoners")
    made.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    made.add_argument("--delays", nargs="+", choices=DELAYS, default=list(DELAYS), help="of labels")
    made.add_argument("--rows", nargs="+", choices=rows, help=f"default: all but {', '.join(ON_REQUEST)}")
    made.add_argument("--days", type=int, default=90)
    made.add_argument("--strategies", type=Path, help="TOML or JSON of strategies held out from development")
    made.add_argument("--mutated", type=int, default=0, help="so many mutants of the known ones, held out")
    made.add_argument("--attackers", nargs="+", choices=LEARNERS, default=[], help="who learn otherwise")
    made.add_argument("--jobs", type=int, default=2, help="runs side by side")
    made.add_argument("--resume", type=Path, help="folder of finished runs to go on with, or to begin")
    made.add_argument("--figure", type=Path, help="draw recall and money lost by day into this file")
    given = made.parse_args(words)
    if given.quick:
        given.seeds, given.poisoner_seeds, given.worlds, given.days = 1, 0, ["own"], QUICK_DAYS
        given.delays, given.rows = [DELAYS[0]], given.rows or list(QUICK_ROWS)
    if given.days <= FIRST_DAY:
        made.error(f"--days: {given.days}: figures begin on day {FIRST_DAY}; give more")
    if min(given.seeds, given.jobs) < 1 or min(given.poisoner_seeds, given.mutated) < 0:
        made.error("--seeds and --jobs: give at least 1; --poisoner-seeds and --mutated: at least 0")
    if given.strategies is not None and not given.strategies.is_file():
        made.error(f"--strategies: {given.strategies}: no such file")
    if given.strategies is not None and given.strategies.stem in NAMES:
        made.error(f"--strategies: {given.strategies}: other attackers have that name; rename the file")
    begins = max(it.from_day for it in POISONERS.values())
    if given.poisoner_seeds and given.days <= begins:
        made.error(
            f"--days: {given.days}: a poisoner begins on day {begins}; give more, or --poisoner-seeds 0"
        )
    return given


def scenarios_of(given: argparse.Namespace) -> list[Scenario]:
    """Return what is played: the bandit at every delay, who was held out or learns otherwise, poisoners."""
    seeds = range(1, given.seeds + 1)
    delays = (*given.delays, "0d")
    found = [
        Scenario(world, BANDIT, delay, seed) for world in given.worlds for delay in delays for seed in seeds
    ]
    others = [f"{MUTATED}-{given.mutated}"] if given.mutated else []
    others += [given.strategies.stem] if given.strategies is not None else []
    others += given.attackers
    slowest = slowest_of(given.delays)
    found += [
        Scenario(world, name, delay, seed)
        for world in given.worlds
        for name in others
        for delay in (slowest, "0d")
        for seed in seeds
    ]
    return found + [
        Scenario(world, name, slowest, seed)
        for world in given.worlds
        for name in POISONERS
        for seed in range(1, given.poisoner_seeds + 1)
    ]


if __name__ == "__main__":
    sys.exit(main())
