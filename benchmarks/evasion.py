"""Evasion before and after hardening: five rounds of attacker and recipe on the Handbook's frauds.

    a model of four weeks ─ white box, the frauds of its training span ─▶ cheapest evasions
      ─ hardened recipe: frauds, all evasions found so far, other ways ─▶ next model ─ attacked again ─▶ …
    each model beside: frauds of the four weeks after, attacked; average precision on all payments of then

Attacks go through the kernel: amount, pace, split payments, and in a second run another
terminal as well, at the costs of `[attacks]`'s defaults. An evasion is recoverable when a model
that was fitted with such evasions of other cards catches it at the same rate of false alarms; the
others leave no trace in the features, and no number of rounds brings them back. `old ways` are the
recoverable evasions of the first model at a quarter of the value, as they were: the share that a
later one still accepts. That is what a retrain can do about an attack that it has seen.

An attacker who knows the trees, and a prober who does not, answer each model anew and find other
ways: bars of their own ask for half of what they found at first, of all frauds (`recoverable`) and of
the very ones that had a recoverable evasion before (`same anew`: any evasion of theirs counts, as
does one that is not stopped at all). `alerts` is the share of payments after training that a model
stops: the attack meets the same budget each time. Total evasion stands beside, and is not claimed.

Each means is a process of its own, as many at a time as there are cores. With `--folder` history and
finished rounds are kept there, and the same command goes on where it was interrupted; a round answers
those before it, so the report names the commits where there are several.
`--quick` imports ten weeks, attacks few frauds and hardens once.
"""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from os import sched_getaffinity
from pathlib import Path
from typing import Any

from benchmarks.evasion_arena import (
    ALL,
    COST,
    FULL,
    QUICK,
    RECOVERABLE,
    WEEKS,
    Arena,
    Scale,
    arena_of,
    attacked,
    fitted,
    found_anew,
    judge,
    keeping_terminals,
    still_open,
)
from benchmarks.evasion_figure import draw
from benchmarks.evasion_rounds import Evaded, Round, Rounds
from benchmarks.handbook_data import CONFIG, is_there, take_data
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.stability import load
from benchmarks.workspace import workspace
from fraud.features.archive import open_archive
from fraud.settings import Settings, load_settings
from fraud.training.variants import variants_of

PRICE_MAX = 0.03
MEANS: dict[str, Callable[[Settings], Settings]] = {
    "own terminal": keeping_terminals,
    "any terminal": lambda settings: settings,
}


def main() -> int:
    """Import, attack, harden, report."""
    arguments = parser(__doc__.partition("\n")[0])
    take_data(arguments)
    arguments.add_argument("--folder", type=Path, help="keep history and rounds here, and go on from them")
    arguments.add_argument("--figure", type=Path, help="draw curves and prices; the ending is the format")
    given = arguments.parse_args()
    if not is_there(given.data):
        return 2
    report = Report("Evasion over rounds of hardening, frauds of the Handbook attacked through the kernel")
    scale = QUICK if given.quick else FULL
    place: AbstractContextManager[Path] = (
        workspace("evasion") if given.folder is None else nullcontext(given.folder)
    )
    with place as folder:
        imported(folder, given.data, scale)
        cores = len(sched_getaffinity(0))
        jobs = min(cores, len(MEANS))
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            running = [pool.submit(measured, folder, means, scale, cores // jobs) for means in MEANS]
            commits: set[str] = set()
            for means, each in zip(MEANS, running, strict=True):
                rows, played_by = each.result()
                add(report, means, scale, rows)
                commits |= played_by
    if len(commits) > 1:
        report.notes.append(f"rounds of several commits: {', '.join(sorted(commits))}")
    if given.figure is not None:
        draw(report.rows, given.figure)
    return finish(report, given)


def settings_of(folder: Path) -> Settings:
    """Return the Handbook's settings on a folder's history."""
    return load_settings(CONFIG, {"FRAUD__SERVICE__DATA_DIR": str(folder / "data")})


def imported(folder: Path, data: Path, scale: Scale) -> None:
    """Import the history up to the last frauds that are judged, unless that was done before."""
    done = folder / f"imported-{scale.cut}"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    load(settings_of(folder), data, scale.cut.fromordinal(scale.cut.toordinal() + 7 * WEEKS))
    done.touch()


def measured(folder: Path, means: str, scale: Scale, nthread: int) -> tuple[list[dict[str, Any]], set[str]]:
    """Run the rounds that have not been run yet; return a row for each, and the commits that played them."""
    settings = settings_of(folder)
    archive = open_archive(settings)
    rounds = Rounds(folder / f"{scale.cut}-{means.replace(' ', '-')}")
    done = rounds.read(scale.rounds + 1)
    if len(done) <= scale.rounds:
        arena = arena_of(MEANS[means](settings), archive, scale, nthread)
        for number in range(len(done), scale.rounds + 1):
            done.append(played(arena, done))
            rounds.write(number, done[number])
            print(f"{means}, round {number}: {done[number].row['s']} s", file=sys.stderr, flush=True)
    rows = [{"means": means, "round": number, **each.row} for number, each in enumerate(done)]
    return rows, rounds.commits


def played(arena: Arena, before: Sequence[Round]) -> Round:
    """Fit, attack and judge once more, after the rounds before."""
    started = time.perf_counter()
    bundle = fitted(arena, "hardened" if before else "full", [each.found for each in before])
    results = attacked(arena, bundle)
    row, caught = judge(arena, bundle, results)
    judged = arena.judged(results)
    recoverable = [it for it, yes in zip(judged, caught, strict=True) if yes and it.cost <= COST]
    old = before[0].old if before else Evaded.of_results(recoverable)
    row["old ways"] = still_open(arena, bundle, old)
    row["same anew"] = found_anew(judged, old)
    row["s"] = round(time.perf_counter() - started)
    return Round(row, variants_of(arena.rows, arena.late_history, results), old)


def add(report: Report, means: str, scale: Scale, rows: Sequence[dict[str, Any]]) -> None:
    """Fill in rows and bars of one means."""
    report.rows += rows
    first, last = rows[0], rows[-1]
    column = f"{RECOVERABLE} {COST:.2f}"
    left = last[column] / first[column] if first[column] else float("nan")
    price = 1 - last["clean AP"] / first["clean AP"]
    report.bars += [
        Bar(f"{means}: first recoverable evasions that still get through", last["old ways"], 0.5, False),
        Bar(f"{means}: recoverable evasion found anew, last round ÷ before", left, 0.5, False),
        Bar(
            f"{means}: frauds of the first recoverable evasions that evade anew",
            last["same anew"],
            0.5,
            False,
        ),
        Bar(f"{means}: price in clean average precision", price, PRICE_MAX, False),
    ]
    report.notes.append(
        f"{means}: {scale.learned} frauds at most attacked in each round to learn from, and {scale.judged} "
        f"after training to judge by; shares are of the stopped ones of these, `{RECOVERABLE}` and `{ALL}` "
        "at a cost of so much or less, the others at a quarter"
    )


if __name__ == "__main__":
    sys.exit(main())
