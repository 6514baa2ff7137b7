"""How good are scores, when declined payments never told what they were?

    a row that was sure to be seen            counts 1
    a would-be decline that was let through   counts 1 ÷ propensity: it stands for those that were not
    a row that nobody will ever know about    counts 0, and still takes its place in the day's budget

So a sum over what was seen has the expectation of the sum over all (Horvitz and
Thompson 1952), where every row had a chance. Nothing is clipped here: a clip
trades a bias for less variance, which a model that is being fitted can afford
and a figure that somebody believes cannot. What the weights cost is said
instead, as the effective sample size (Kish 1965). Would-be declines without any
chance (exploration off, amount or budget used up) stay unknown, and are counted.

These figures are for people. No count formula of the gate takes weighted rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fraud.evaluation.metrics import Bools, Floats, Ranking
from fraud.evaluation.resampling import Interval, Sample, card_draws, grouped, interval_of

LEVEL = 0.9
"""Share of the bootstrap distribution that an interval here spans."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """Figures for all traffic, from the rows that were seen; intervals span 90 %.

    `rows` and `frauds` count what was seen, `unseen` what was not, each row
    once; the effective sizes are how many equal ones would say as much.
    """

    recall: Interval
    precision: Interval
    average_precision: Interval
    rows: int
    frauds: int
    unseen: int
    effective_rows: float
    effective_frauds: float


def seen_weights(seen: Bools, propensity: Floats) -> Floats:
    """Return what each row counts for, float64[n]: 1 ÷ propensity when it was seen, else 0.

    `propensity` float64[n] in (0, 1] is the probability of being seen.

    >>> seen_weights(np.array([True, True, False]), np.array([1.0, 0.05, 0.95])).tolist()
    [1.0, 20.0, 0.0]
    """
    return np.where(seen, 1.0 / propensity, 0.0)


def effective_sample_size(weights: Floats) -> float:
    """Return (Σw)² ÷ Σw²: how many equal rows carry as much (Kish 1965); 0 for none.

    >>> effective_sample_size(np.array([1.0, 1.0, 1.0]))
    3.0
    """
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def weighted_quality(sample: Sample, scores: Floats, alerted: Bools, rounds: int, seed: int) -> Weighted:
    """Judge scores float64[n] and their alerts bool[n] on a sample whose weights are `seen_weights`.

    The sample holds all traffic, unseen rows with weight 0, so that alerts are
    those of all traffic. A figure without frauds, or a precision without alerts,
    is NaN.
    """
    known = sample.weights > 0
    seen = Sample(sample.is_fraud[known], sample.days[known], sample.cards[known], sample.weights[known])
    frauds = seen.weights[seen.is_fraud]
    return Weighted(
        recall=weighted_recall(seen, alerted[known], rounds, seed),
        precision=_ratio(seen, seen.is_fraud & alerted[known], alerted[known], rounds, seed),
        average_precision=_ranked(seen, scores[known], rounds, seed),
        rows=int(known.sum()),
        frauds=len(frauds),
        unseen=int(np.sum(~known)),
        effective_rows=effective_sample_size(seen.weights),
        effective_frauds=effective_sample_size(frauds),
    )


def weighted_recall(sample: Sample, alerted: Bools, rounds: int, seed: int) -> Interval:
    """Return the weighted share of frauds that were alerted on, with its interval by card."""
    return _ratio(sample, sample.is_fraud & alerted, sample.is_fraud, rounds, seed)


def _ratio(sample: Sample, part: Bools, whole: Bools, rounds: int, seed: int) -> Interval:
    """Return Σ weight of `part` ÷ Σ weight of `whole`; sums by card are all that a round needs."""
    groups, group = grouped(sample.cards)
    parts = np.bincount(group, sample.weights * part, groups)
    wholes = np.bincount(group, sample.weights * whole, groups)
    told = wholes > 0
    parts, wholes = parts[told], wholes[told]

    def figure(draw: Floats) -> float:
        total = float(draw @ wholes)
        return float(draw @ parts) / total if total > 0 else float("nan")

    draws = (draw[told] for draw in card_draws(np.arange(groups), rounds, seed))
    return _interval(figure, np.ones(len(wholes)), [figure(draw.astype(np.float64)) for draw in draws])


def _ranked(sample: Sample, scores: Floats, rounds: int, seed: int) -> Interval:
    ranking = Ranking(sample.is_fraud, scores)
    draws = card_draws(sample.cards, rounds, seed) if sample.is_fraud.any() else ()
    spread = [ranking.average_precision(draw * sample.weights) for draw in draws]
    return _interval(ranking.average_precision, sample.weights, spread)


def _interval(figure: Callable[[Floats], float], weights: Floats, spread: list[float]) -> Interval:
    return interval_of(figure(weights), np.array(spread), LEVEL)
