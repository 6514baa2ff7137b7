"""What declining costs the next model, and what exploration wins back, on the Handbook's data.

    champion, a week ─▶ declines at the precision of `handbook.toml`, solved on the week after
      ─▶ the challenger's training week loses the labels of what was declined
           all labels · declines lost · 1, 2, 5 % let through, weights 1 ÷ p clipped at 10
      ─▶ average precision on the Handbook's test rows, four folds, means over draws and seeds

    the champion's recall over four weeks, from what can be seen at 5 % (1 and 2 beside it)
      ─▶ 200 services, each with cards drawn anew: does the 90 % interval cover the truth?
         weights 1 ÷ p unclipped, and the naive figure that counts what it sees

Every label is taken as known when it was needed: champion, threshold, training and test
each lie a label delay of seven days behind what they use. Label-fed features are those of
full knowledge, which flatters all rows alike.

`--quick` imports six weeks and runs one earlier split with few draws, to show that it works.
"""

import os
import sys
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr

from benchmarks.handbook import QUICK_START, QUICK_STOP, load
from benchmarks.handbook_data import CONFIG, is_there, take_data
from benchmarks.handbook_protocol import WEEK, Payments, Split, assessment_folds, day_number, single
from benchmarks.report import Bar, Report, finish, parser
from fraud.bundle.boosting import load_booster, margins_of
from fraud.evaluation.metrics import average_precision
from fraud.evaluation.resampling import Interval, Sample
from fraud.evaluation.weighted import effective_sample_size, seen_weights, weighted_recall
from fraud.policy.exploration import Explorer
from fraud.policy.spending import Budget, DaySpending
from fraud.policy.thresholds import solve
from fraud.settings import load_settings
from fraud.settings.learning import Recipe
from fraud.settings.model import Exploration
from fraud.training.fit import fit
from fraud.training.weights import inverse_propensity

RATES = (0.01, 0.02, 0.05)
RECIPE = Recipe(kind="full", rounds=100, max_depth=4, learning_rate=0.1, colsample_bytree=0.5)
STOP = date(2018, 9, 5)
"""The day after the last test day of the Handbook's folds; nothing later is imported."""
WON_BACK_MIN = 2 / 3
COVERAGE = (0.85, 0.95)
ROUNDS = 400
"""Resamples behind each interval."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is run: draws of exploration (each with its own training seed), and services."""

    draws: int
    services: int
    weeks: int


FULL, QUICK = Scale(draws=4, services=200, weeks=4), Scale(draws=1, services=20, weeks=2)


@dataclass(frozen=True, eq=False)
class Champion:
    """What declines: log-odds of every row asked for, and the threshold."""

    booster: bytes
    threshold: float

    def declines(self, payments: Payments, rows: NDArray[np.intp]) -> Bools:
        """Tell which rows it would decline, bool[n]."""
        return margins(self.booster, payments, rows) >= self.threshold


def main() -> int:
    """Import, lose labels, win some back, report."""
    arguments = parser(__doc__.partition("\n")[0])
    take_data(arguments)
    given = arguments.parse_args()
    if not is_there(given.data):
        return 2
    report = Report("Selective labels: what declines hide, and what exploration shows")
    splits = [single(day_number(QUICK_START))] if given.quick else assessment_folds()
    scale = QUICK if given.quick else FULL
    payments = load(given.data, QUICK_STOP if given.quick else STOP, report, "selection")
    champions = [crown(payments, split) for split in splits]
    learn(payments, splits, champions, scale, report)
    estimate(payments, splits[0], champions[0], scale, report)
    return finish(report, given)


def crown(payments: Payments, split: Split) -> Champion:
    """Train the champion that declines in a split's training week, and solve its threshold.

    It is trained on the fourth week before the end of training, and its threshold
    solved on the third, so that all of that is known when the last week begins.
    """
    start = split.train_stop - 4 * WEEK
    trained, solved = (payments.between(start + k * WEEK, start + (k + 1) * WEEK) for k in (0, 1))
    booster = trained_on(payments, trained, np.ones(len(trained)), seed=7)
    policy = load_settings(CONFIG, {}).models["card"].policy
    # A precision asks for an order only, so log-odds need no calibrator.
    scores = margins(booster, payments, solved).astype(np.float64)
    threshold = solve(
        policy, scores, payments.is_fraud[solved], np.ones(len(solved)), WEEK
    ).thresholds.decline
    if threshold is None:
        raise SystemExit("the champion reaches the decline precision nowhere; nothing would be declined")
    return Champion(booster, threshold)


def trained_on(payments: Payments, rows: NDArray[np.intp], weights: Floats, seed: int) -> bytes:
    """Fit the recipe on some rows, int64[m], with their weights, float64[m]."""
    return fit(
        payments.features[rows],
        payments.is_fraud[rows],
        weights,
        RECIPE,
        categoricals=0,
        seed=seed,
        nthread=len(os.sched_getaffinity(0)),
    )


def margins(booster: bytes, payments: Payments, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return log-odds, float32[m]."""
    return margins_of(load_booster(booster, len(os.sched_getaffinity(0))), payments.features[rows])


def let_through(declined: Bools, rate: float, draw: int) -> Bools:
    """Explore would-be declines as the service does, bool[n]."""
    explorer = Explorer(Exploration(rate=rate, key=SecretStr(f"the key of draw {draw:4d}")))
    spent = DaySpending(Budget())
    through = np.zeros(len(declined), np.bool_)
    for row in np.flatnonzero(declined).tolist():
        through[row] = explorer.explore(f"{rate:g}/{row}", 1.0, 1, (), spent).explored
    return through


def learn(
    payments: Payments, splits: list[Split], champions: list[Champion], scale: Scale, report: Report
) -> None:
    """Train on all labels, on what declines leave, and with exploration; fill in rows and the bar."""
    found = np.array(
        [precisions(payments, split, it, scale) for split, it in zip(splits, champions, strict=True)]
    )
    names = ["all labels", "labels of declines lost", *(f"{rate:.0%} explored" for rate in RATES)]
    means = found.mean(axis=0)
    lost = means[0] - means[1]
    for place, name in enumerate(names):
        won = (means[place] - means[1]) / lost
        report.rows.append(
            {
                "figure": f"AP, {name}",
                "AP": float(means[place]),
                "AP lost": float(means[0] - means[place]),
                "won back": float(won) if place > 1 else None,
                "AP, first fold": float(found[0, place]),
            }
        )
    report.bars.append(
        Bar("share of the lost AP won back at 5 %", float((means[-1] - means[1]) / lost), WON_BACK_MIN)
    )
    rows = splits[0].train_rows(payments, WEEK)
    declined, is_fraud = champions[0].declines(payments, rows), payments.is_fraud[rows]
    report.notes.append(
        f"first fold: {declined.mean():.2%} of the training week declined, "
        f"{is_fraud[declined].mean():.1%} of it fraud, {declined[is_fraud].mean():.0%} of the frauds; "
        f"means over {len(splits)} folds and {scale.draws} draws and seeds"
    )


def precisions(payments: Payments, split: Split, champion: Champion, scale: Scale) -> list[float]:
    """Return AP on a split's test rows: all labels, declines lost, each rate; means over draws."""
    rows, test = split.train_rows(payments, WEEK), split.test_rows(payments)
    declined = champion.declines(payments, rows)

    def judged(seen: Bools, propensity: Floats, seed: int) -> float:
        booster = trained_on(payments, rows[seen], inverse_propensity(propensity[seen]), seed)
        return average_precision(payments.is_fraud[test], margins(booster, payments, test).astype(np.float64))

    sure = np.ones(len(rows))
    found = []
    for draw in range(scale.draws):
        aps = [judged(sure > 0, sure, draw), judged(~declined, sure, draw)]
        for rate in RATES:
            explored = let_through(declined, rate, draw)
            aps.append(judged(~declined | explored, np.where(explored, rate, 1.0), draw))
        found.append(aps)
    return [float(value) for value in np.mean(found, axis=0)]


def estimate(payments: Payments, split: Split, champion: Champion, scale: Scale, report: Report) -> None:
    """Estimate the champion's recall from what is seen, in many services; fill in rows and bars."""
    rows = payments.between(split.train_stop, split.train_stop + scale.weeks * WEEK)
    declined = champion.declines(payments, rows)
    truth = float(declined[payments.is_fraud[rows]].mean())
    by_card = np.argsort(payments.cards[rows], kind="stable")
    covered = 0.0
    for rate in RATES:
        runs = [service(payments, rows, by_card, declined, rate, seed) for seed in range(scale.services)]
        weighted, naive = [run[0] for run in runs], [run[1] for run in runs]
        covered = coverage(weighted, truth)
        effective = float(np.mean([run[2] for run in runs]))
        report.rows.append(
            _row(f"weighted, {rate:.0%} explored", truth, weighted) | {"effective frauds": effective}
        )
        report.rows.append(_row(f"naive, {rate:.0%} explored", truth, naive))
    report.bars += [
        Bar("runs whose 90 % interval covers the recall, weighted, 5 %", covered, COVERAGE[0]),
        Bar("the same, at most", covered, COVERAGE[1], at_least=False),
    ]
    report.notes.append(
        f"recall of the champion's declines over {scale.weeks} weeks, {scale.services} services with cards "
        f"drawn from all of them; truth {truth:.3f}; {ROUNDS} resamples by card for each interval"
    )


def service(
    payments: Payments,
    rows: NDArray[np.intp],
    by_card: NDArray[np.intp],
    declined: Bools,
    rate: float,
    seed: int,
) -> tuple[Interval, Interval, float]:
    """Draw one service and return its weighted recall, the naive one, and the effective frauds."""
    rng = np.random.default_rng(seed)
    _, starts, sizes = np.unique(payments.cards[rows][by_card], return_index=True, return_counts=True)
    chosen = rng.integers(len(starts), size=len(starts))
    counts = sizes[chosen]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    place = by_card[np.repeat(starts[chosen], counts) + within]
    cards = np.repeat(np.arange(len(chosen)), counts)  # a card that is drawn twice is two cards
    would = declined[place]
    explored = let_through(would, rate, seed)
    seen = ~would | explored
    weights = seen_weights(seen, np.where(explored, rate, 1.0))
    is_fraud = payments.is_fraud[rows][place] & seen
    days = payments.days[rows][place]
    weighted = weighted_recall(Sample(is_fraud, days, cards, weights), would, ROUNDS, seed)
    naive = weighted_recall(Sample(is_fraud, days, cards, seen.astype(np.float64)), would, ROUNDS, seed)
    return weighted, naive, effective_sample_size(weights[is_fraud])


def coverage(found: list[Interval], truth: float) -> float:
    """Return the share of intervals that hold the truth."""
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def _row(name: str, truth: float, found: list[Interval]) -> dict[str, object]:
    return {
        "figure": f"recall, {name}",
        "recall": float(np.mean([each.value for each in found])),
        "low": float(np.mean([each.low for each in found])),
        "high": float(np.mean([each.high for each in found])),
        "covers the truth": coverage(found, truth),
    }


if __name__ == "__main__":
    sys.exit(main())
