"""What is replay memory worth when an attack returns after five weeks, for three days?

    others │ + attack, 3 days │ others, five weeks                            │ + attack, 3 days
    ├──────── remembered, or not ────────┤ 14 days of training ┤ 16 held back ┤ judged ┤
      contest ─ import ─▶ log ─▶ archive ─▶ training set of that morning ─▶ recipes, as a cycle fits them

    none         the short window alone
    random       beside it 100 frauds from before, by the hashes of their ids
    by pattern   beside it 100 by turns of patterns, as shipped but for their number (`fraud.training.memory`)
    long window  the whole past instead, where it can be held and paid for
    then         the short window at the first cut at which it held the attack, kept till it returns

Contests: each known attack whose cards are used up within three days, with each of the seeds 11 to 14.
Recall is of the returned attack's frauds, above all but .5 % of the honest payments of the three days;
clean average precision is of the other frauds among them, which are in every window: the price. All
models meet the same payments, and none is retrained within the three days. `learned` are the attack's
frauds that a fit was given; those nobody reported teach nothing.

Means are over contests, and attacks that no model forgets, for others are like them, are among these.
Bars ask by pattern for the recall of random at least, for a quarter of the frauds that are missed
without memory, and for a small price. `--quick` plays one small contest.
"""

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.memory_contest import Calendar, Size, play
from benchmarks.report import FOLDER, Bar, Report, finish, parser
from benchmarks.stability import MODEL, cut_at, load
from benchmarks.workspace import workspace
from fraud.adversary.contest_figures import FPR, caught_at_fpr
from fraud.adversary.honest import Bools, Floats
from fraud.archive.archive import Archive
from fraud.clock import DAY_US
from fraud.evaluation.metrics import average_precision
from fraud.features.spec import FeatureSpec
from fraud.retrainer.matrices import matrix_of
from fraud.settings import Settings, load_settings
from fraud.settings.learning import Recipe
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.history import History
from fraud.training.recipes import choose_rows
from fraud.training.splits import walk_forward

CONFIG = FOLDER / "memory.toml"
ATTACKS = (
    "amount_ladder",
    "night_bursts",
    "card_testing",
    "merchant_collusion",
    "new_device",
    "split_payments",
)
SPENT_DAYS = 3
"""After so many days the cards of any of them are used up."""
SEEDS = (11, 12, 13, 14)
NONE, RANDOM, PATTERN, LONG, THEN = "none", "random", "by pattern", "long window", "then"
WAYS = (NONE, RANDOM, PATTERN, LONG, THEN)
ALL = "all"
RECALL, CLEAN = "recall", "clean AP"
CAUGHT_MIN = 0.25
PRICE_MAX = 0.03
DRAWS, DRAWS_SEED = 2_000, 7
"""For intervals, by bootstrap over contests."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The contests that are played, and how large they are."""

    attacks: Sequence[str]
    seeds: Sequence[int]
    calendar: Calendar
    size: Size


FULL = Scale(ATTACKS, SEEDS, Calendar(), Size(2_500, 1_500, 8.0))
QUICK = Scale(("card_testing",), SEEDS[:1], Calendar(before=14), Size(1_500, 1_000, 6.0))


@dataclass(frozen=True, slots=True)
class Figures:
    """What one model came to in one contest; recall is NaN where the attack had no time for a fraud."""

    recall: float
    clean_precision: float
    learned: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Played:
    """One contest: how many frauds returned, and each model's figures by its way."""

    attack: str
    seed: int
    returned: int
    figures: Mapping[str, Figures]


@dataclass(frozen=True, eq=False)
class World:
    """A contest as a service archived it, and the truth: frauds by place in `back`, the rows of the return.

    `returned` and `others` are bool[n]; `positions` int64[m] of the attack's frauds of all days in the log.
    """

    settings: Settings
    archive: Archive
    calendar: Calendar
    start_day: int
    back: pl.DataFrame
    returned: Bools
    others: Bools
    positions: NDArray[np.int64]

    def rows(self, day: int) -> TrainingSet:
        """Return the training set at the start of a day of the contest."""
        cut = cut_at(self.archive, self.start_day + day)
        return training_rows(History(self.archive, FeatureSpec.of(self.settings), self.settings, cut), MODEL)


def main() -> int:
    """Play, retrain, report."""
    given = parser(__doc__.partition("\n")[0]).parse_args()
    scale = QUICK if given.quick else FULL
    played = []
    for attack in scale.attacks:
        for seed in scale.seeds:
            started = time.perf_counter()
            with workspace("memory") as folder:
                played.append(measured(attack, seed, scale, folder))
            seconds = time.perf_counter() - started
            print(f"{attack}, seed {seed}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return finish(reported(played), given)


def measured(attack: str, seed: int, scale: Scale, folder: Path) -> Played:
    """Play one contest, and judge every way on the days of the return."""
    world = archived(attack, seed, scale, folder)
    settings, calendar = world.settings, scale.calendar
    short, long = settings.training.recipes["recent"], settings.training.recipes["full"]
    now, then = world.rows(calendar.returned), world.rows(day_of_then(settings, calendar))
    figures = judged(
        world,
        now,
        {NONE: forgetful(short), RANDOM: at_random(short, now, settings), PATTERN: short, LONG: long},
    )
    figures |= judged(world, then, {THEN: forgetful(short)})
    return Played(attack, seed, int(world.returned.sum()), figures)


def archived(attack: str, seed: int, scale: Scale, folder: Path) -> World:
    """Play a contest and import it into a fresh service."""
    recorded = play(attack, seed, scale.calendar, scale.size)
    history = folder / "history.parquet"
    recorded.table.write_parquet(history)
    settings = load_settings(CONFIG, {"FRAUD__SERVICE__DATA_DIR": str(folder / "data")})
    archive = load(settings, history, None)
    rows = archive.transactions().select("position", "transaction_id", "event_time_us").collect()
    back_us = recorded.start_us + scale.calendar.returned * DAY_US
    back = archive.transactions().filter(pl.col("event_time_us") >= back_us).sort("position").collect()
    attacks = np.array([recorded.attacks.get(each, "") for each in back["transaction_id"].to_list()])
    mine = [name for name, of in recorded.attacks.items() if of == attack]
    return World(
        settings,
        archive,
        scale.calendar,
        recorded.start_us // DAY_US,
        back,
        attacks == attack,
        (attacks != attack) & (attacks != ""),
        rows.filter(pl.col("transaction_id").is_in(mine))["position"].to_numpy(),
    )


def forgetful(recipe: Recipe) -> Recipe:
    """Return a recipe that replays nothing."""
    return recipe.model_copy(update={"replay_share": 0.0})


def at_random(recipe: Recipe, rows: TrainingSet, settings: Settings) -> Recipe:
    """Return a recipe that replays as many older frauds, with no regard to patterns."""
    before_us = walk_forward(settings, rows.cut.time_us, recipe.window).train.start_us
    draws = np.sort(rows.draws[(rows.label == 1) & (rows.event_time_us < before_us)])
    share = float(draws[recipe.replay_max]) if len(draws) > recipe.replay_max else 1.0
    return recipe.model_copy(update={"replay_share": share})


def day_of_then(settings: Settings, calendar: Calendar) -> int:
    """Return the first day on which the rows of training hold the attack, and end after it."""
    training = settings.training
    held_us = settings.labels.maturity + training.evidence + training.calibration + settings.embargo_us
    return calendar.left + SPENT_DAYS + math.ceil(held_us / DAY_US)


def judged(world: World, rows: TrainingSet, ways: Mapping[str, Recipe]) -> dict[str, Figures]:
    """Fit recipes on one training set, as a cycle does, and return what each comes to on the return."""
    settings = world.settings
    training = settings.training.model_copy(update={"recipes": dict(ways)})
    only = settings.model_copy(update={"training": training})
    nthread = len(os.sched_getaffinity(0))
    made = train_here({MODEL: rows}, FeatureSpec.of(settings), only, {MODEL: None}, nthread=nthread)
    is_it = (rows.label == 1) & np.isin(rows.position, world.positions)
    found = {}
    for each in made:
        if not isinstance(each, Challenger):
            raise RuntimeError(f"{each.recipe}: {each.reason}")
        margins = each.bundle.margins(matrix_of(each.bundle, world.back)).astype(np.float64)
        learned = is_it[choose_rows(ways[each.recipe], rows, each.spans).rows]
        found[each.recipe] = Figures(
            recall_of(world, margins), clean_of(world, margins), int(learned.sum()), each.seconds
        )
    return found


def recall_of(world: World, margins: Floats) -> float:
    """Return the share of the returned attack's frauds above all but `FPR` of honest payments."""
    kept, frauds = ~world.others, int(world.returned.sum())
    caught = caught_at_fpr(world.returned[kept], margins[kept])
    return float("nan") if caught is None or not frauds else caught / frauds


def clean_of(world: World, margins: Floats) -> float:
    """Return average precision of the other frauds, the returned attack left out."""
    kept = ~world.returned
    return average_precision(world.others[kept], margins[kept])


def reported(played: Sequence[Played]) -> Report:
    """Return a row for each attack and way, means of its contests, and the bars on the mean of all."""
    report = Report(
        f"An attack that returns after five weeks: recall at {FPR:.1%} false positives, by memory"
    )
    for attack in dict.fromkeys(each.attack for each in played):
        report.rows += rows_of(attack, [each for each in played if each.attack == attack])
    means = rows_of(ALL, played)
    report.rows += means
    recall = {row["memory"]: row[RECALL] for row in means}
    clean = {row["memory"]: row[CLEAN] for row in means}
    report.bars = [
        Bar(f"recall, {PATTERN} less {RANDOM}", recall[PATTERN] - recall[RANDOM], 0.0),
        Bar(
            f"of frauds missed without memory, caught {PATTERN}",
            1 - (1 - recall[PATTERN]) / (1 - recall[NONE]) if recall[NONE] < 1 else float("nan"),
            CAUGHT_MIN,
        ),
        Bar("price in clean average precision", 1 - clean[PATTERN] / clean[NONE], PRICE_MAX, at_least=False),
    ]
    report.notes = [told(played, other) for other in (RANDOM, NONE)]
    return report


def rows_of(attack: str, played: Sequence[Played]) -> list[dict[str, Any]]:
    """Return a row for each way, means of contests; frauds are of the return, all contests together."""
    return [
        {
            "attack": attack,
            "memory": way,
            RECALL: mean(each.figures[way].recall for each in played),
            "worst": float(np.nanmin([each.figures[way].recall for each in played])),
            CLEAN: mean(each.figures[way].clean_precision for each in played),
            "learned": mean(each.figures[way].learned for each in played),
            "returned": sum(each.returned for each in played),
            "s": mean(each.figures[way].seconds for each in played),
        }
        for way in WAYS
    ]


def mean(values: Iterable[float]) -> float:
    """Return the mean of those that are numbers; NaN without any."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else float("nan")


def told(played: Sequence[Played], other: str) -> str:
    """Say how much more the memory by pattern catches than another, with an interval over contests."""
    pairs = np.array([[each.figures[way].recall for way in (PATTERN, other)] for each in played])
    more = pairs[:, 0] - pairs[:, 1]
    more = more[~np.isnan(more)]
    drawn = np.random.default_rng(DRAWS_SEED).choice(more, (DRAWS, len(more))).mean(axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    return (
        f"recall {PATTERN} less {other}: {more.mean():+.3f}, 90 % interval {low:+.3f} to {high:+.3f}; "
        f"more in {np.sum(more > 0)} contests, less in {np.sum(more < 0)}, of {len(played)}"
    )


if __name__ == "__main__":
    sys.exit(main())
