"""A whole retraining cycle beside the bare fits that it contains.

    synthetic payments ─ import ─▶ log ─▶ archive (set up, not timed)
      cycle   dataset → recipes on Ray → calibration, thresholds, bundles → gate → ledger
      bare    the same rows and parameters: `xgboost.train`, one booster after the other, all threads

The full recipe trains on a million rows of 48 features. Starting Ray is part of the
cycle; reading the archive is part of the cycle and not of the bare fits.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import xgboost as xgb

from benchmarks.fixture import ENTITIES, configure
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.workspace import workspace
from fraud.clock import DAY_US
from fraud.retrainer.cycle import Order, run_cycle
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.judging import CycleVerdict
from fraud.serving.history import import_history
from fraud.settings import Settings
from fraud.settings.learning import Recipe
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.fit import parameters
from fraud.training.history import Cut, History
from fraud.training.pool import TrainingPool
from fraud.training.recipes import choose_rows
from fraud.training.splits import walk_forward

MODEL = "card"
SPAN_DAYS = 120
HELD_BACK_DAYS = 28
"""Maturity, evidence, calibration and embargo, a week each: not trained on."""
FULL_ROWS, QUICK_ROWS = 1_000_000, 30_000

_LEARNING = """
[labels]
maturity = "7d"
[training]
embargo = "7d"
calibration = "7d"
evidence = "7d"
[training.recipes.full]
kind = "full"
[training.recipes.recent]
kind = "recent"
window = "28d"
replay_share = 1.0
[import]
model = "card"
transaction_id = "id"
event_time = "time"
amount = "amount"
amount_unit = "minor"
label = "fraud"
label_source = "chargeback"
label_delay = "3d"
[import.entities]
card = "card"
merchant = "merchant"
device = "device"
"""


@dataclass(frozen=True, slots=True)
class Fit:
    """One bare fit."""

    recipe: str
    rows: int
    seconds: float


def main() -> int:
    """Set up, run the cycle, run the bare fits, report."""
    given = parser(__doc__.partition("\n")[0]).parse_args()
    trained_rows = QUICK_ROWS if given.quick else FULL_ROWS
    report = Report(f"training: a cycle on {trained_rows:,} rows of 48 features")
    with workspace("training") as folder:
        _, settings = configure(folder, 0, more=_LEARNING)
        history = write_history(folder / "history.parquet", trained_rows)
        import_history(settings, history)
        verdicts, seconds, cut = cycle(settings)
        fits = bare(settings, cut)
    alone = sum(one.seconds for one in fits)
    for verdict in verdicts:
        name = verdict.version or "no version"
        report.notes.append(f"cycle: {name} {verdict.verdict}: {verdict.reason}")
    report.rows = [{"what": f"bare {one.recipe}", "rows": one.rows, "seconds": one.seconds} for one in fits]
    report.rows.append({"what": "bare, all", "seconds": alone})
    report.rows.append({"what": "whole cycle", "seconds": seconds})
    fitted = sum(1 for verdict in verdicts if verdict.version)
    report.bars = [
        Bar("cycle seconds, bound 1.3 × bare + 10", seconds, 1.3 * alone + 10.0, at_least=False),
        Bar("challengers fitted", float(fitted), float(len(fits)), fair_when_quick=True),
    ]
    return finish(report, given)


def write_history(path: Path, trained_rows: int, seed: int = 7) -> Path:
    """Write payments of the last 120 days, so many that the full recipe trains on `trained_rows`."""
    rng = np.random.default_rng(seed)
    count = trained_rows * SPAN_DAYS // (SPAN_DAYS - HELD_BACK_DAYS)
    end_us = time.time_ns() // 1_000
    times = np.sort(rng.integers(end_us - SPAN_DAYS * DAY_US, end_us, count))
    amounts = rng.lognormal(7.5, 1.2, count).clip(1, 5e6).astype(np.int64)
    entities = (rng.power(0.5, (count, len(ENTITIES))) * 20_000).astype(np.int64)
    odds = -6.0 + 1.5 * np.log(amounts / 1_808) + (entities[:, 1] % 50 == 0) * 2.0
    frame = pl.DataFrame(
        {
            "id": [f"h{i}" for i in range(count)],
            "time": times,
            "amount": amounts,
            "fraud": (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(np.int8),
            **{name: entities[:, i] for i, name in enumerate(ENTITIES)},
        }
    )
    frame.write_parquet(path)
    return path


def cycle(settings: Settings) -> tuple[list[CycleVerdict], float, Cut]:
    """Run one cycle on an archive that is up to date; return verdicts, seconds and its cut."""
    shop = open_workshop(settings)
    shop.copy()
    cut = Cut(shop.log.head(), shop.log.last_arrival_us())
    started = time.perf_counter()
    with TrainingPool(settings.training) as pool:
        verdicts = run_cycle(shop, Order((MODEL,), cut, "benchmark"), lambda: pool)
    return verdicts, time.perf_counter() - started, cut


def bare(settings: Settings, cut: Cut) -> list[Fit]:
    """Fit each recipe's booster on the rows the cycle chose, with all threads."""
    shop = open_workshop(settings)
    rows = training_rows(History(shop.archive, shop.spec, settings, cut), MODEL)
    return [_bare_fit(name, recipe, rows, settings) for name, recipe in settings.training.recipes.items()]


def _bare_fit(name: str, recipe: Recipe, rows: TrainingSet, settings: Settings) -> Fit:
    chosen = choose_rows(recipe, rows, walk_forward(settings, rows.cut.time_us, recipe.window))
    features = rows.features[chosen.rows]
    label = (rows.label[chosen.rows] == 1).astype(np.float32)
    nthread = len(os.sched_getaffinity(0))
    started = time.perf_counter()
    matrix = xgb.QuantileDMatrix(
        features,
        label=label,
        weight=chosen.weights.astype(np.float32),
        max_bin=recipe.max_bin,
        nthread=nthread,
    )
    xgb.train(parameters(recipe, settings.training.seed, nthread), matrix, recipe.rounds)
    return Fit(name, len(features), time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
