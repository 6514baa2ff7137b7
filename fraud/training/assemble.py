"""From a fitted booster to a bundle that can serve.

    calibration span, labelled rows (1 ÷ propensity) → calibrator, precision thresholds
    calibration span, all traffic                    → thresholds on a share, a number or a cost
    both                                             → the curve that shows what a threshold trades
    newest traffic up to the cut, unlabelled         → risk scale, references, self-test rows

Only features of the newest traffic are looked at, never its labels (though a booster that learns from
fresh verdicts has), and nothing that ranks depends on them: the gate's evidence stays untouched.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.boosting import load_booster, margins_of
from fraud.bundle.bundle import Bundle, Range, SelfTest
from fraud.bundle.calibrator import Calibrator
from fraud.bundle.folds import margins_without
from fraud.bundle.references import References
from fraud.bundle.risk_scale import RiskScale
from fraud.clock import DAY_US
from fraud.features.encoding import Vocabulary
from fraud.policy.risks import Risks
from fraud.policy.thresholds import Solution, policy_digest, solve
from fraud.policy.trade import Calibration, trade_curve
from fraud.records import Outcome
from fraud.settings.model import Policy
from fraud.training.dataset import TrainingSet
from fraud.training.recipes import matrix_of
from fraud.training.splits import Span, Spans
from fraud.training.weights import inverse_propensity

REFERENCE_ROWS_MAX = 200_000
"""Of the newest traffic. A thousandth part of fewer rows, or of half a week, is luck: with 50,000 rows the
share above a cut-off of 990 moved by a tenth from one retrain to the next, without any cause."""
SELFTEST_ROWS = 64
_EMPTIED_ROWS = 8
_Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_MarginsOn = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def assemble(
    rows: TrainingSet,
    booster: bytes,
    vocabularies: Sequence[Vocabulary],
    trained: NDArray[np.int64],
    spans: Spans,
    policy: Policy,
    manifest: dict[str, Any],
    nthread: int,
    folds: Sequence[bytes] = (),
) -> Bundle:
    """Return the bundle of a fitted booster; `trained` are the rows it was fitted on, int64[m].

    `folds` are the boosters without a fold each, which calibrate it where every card teaches.

    The manifest gains `thresholds_notes`, what the policy could not meet, and
    `policy_curve` (`fraud.policy.trade`).
    """
    predict = partial(margins_of, load_booster(booster, nthread))
    margins_on = partial(_margins_on, rows, vocabularies, predict, folds, nthread)
    calibrator, solved_on, solution = _solve(rows, spans, policy, margins_on)
    curve = trade_curve(policy, solution.thresholds, solved_on)
    # Of older times the set holds frauds alone, for replay.
    newest = np.flatnonzero(rows.event_time_us >= rows.window_start_us)[-REFERENCE_ROWS_MAX:]
    reference = matrix_of(rows, newest, vocabularies)
    margins = predict(reference)
    words = {name: v.words for name, v in zip(rows.categorical_names, vocabularies, strict=True)}
    return Bundle(
        model=rows.model,
        feature_names=rows.feature_names,
        categorical_names=rows.categorical_names,
        vocabularies=tuple(vocabularies),
        booster=booster,
        calibrator=calibrator,
        thresholds=solution.thresholds,
        policy_digest=policy_digest(policy, solution.thresholds),
        risk_scale=RiskScale.fit(margins),
        references=References.of(rows.feature_names, words, reference, calibrator(margins)),
        ranges=_ranges(rows, trained),
        selftest=_selftest(booster, reference),
        manifest={
            **manifest,
            "thresholds_notes": list(solution.notes),
            "policy_curve": curve.to_dict(),
        },
        folds=tuple(folds),
    )


def stopped_by(
    rows: TrainingSet,
    vocabularies: Sequence[Vocabulary],
    spans: Spans,
    policy: Policy,
    nthread: int,
    folds: Sequence[bytes],
    booster: bytes,
    matrix: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Tell which rows of a matrix a bundle of these boosters would not approve, bool[n]."""
    predict = partial(margins_of, load_booster(booster, nthread))
    margins_on = partial(_margins_on, rows, vocabularies, predict, folds, nthread)
    calibrator, _, solution = _solve(rows, spans, policy, margins_on)
    outcomes = solution.thresholds.outcomes(calibrator(predict(matrix)))
    return np.not_equal(outcomes, int(Outcome.APPROVE))


def calibration_rows(rows: TrainingSet, spans: Spans) -> NDArray[np.int64]:
    """Return the labelled rows that calibrator and precision thresholds see, rising int64[m].

    Declines that an analyst labelled are left out where explored ones stand for them.
    """
    seen = spans.calibrates(rows.event_time_us, rows.judging)
    return np.flatnonzero(seen & (rows.label >= 0) & ~rows.stood_for)


def _margins_on(
    rows: TrainingSet,
    vocabularies: Sequence[Vocabulary],
    predict: _Predict,
    folds: Sequence[bytes],
    nthread: int,
    places: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the margins of rows that judge, float32[n]: with folds by the booster without the row's own."""
    matrix = matrix_of(rows, places, vocabularies)
    if folds:
        boosters = [load_booster(fold, nthread) for fold in folds]
        return margins_without(boosters, rows.fold[places], matrix)
    return predict(matrix)


def _solve(
    rows: TrainingSet, spans: Spans, policy: Policy, margins_on: _MarginsOn
) -> tuple[Calibrator, Calibration, Solution]:
    """Return calibrator and thresholds of a booster, with what they were solved on.

    The calibrator is fitted with clipped weights, as everything that is fitted; what
    is counted on its scores has the unclipped ones.
    """
    span = spans.calibration
    traffic = np.flatnonzero(spans.calibrates(rows.event_time_us, rows.judging))
    margins = margins_on(traffic)
    usable = np.isin(traffic, calibration_rows(rows, spans))
    is_fraud = rows.label[traffic][usable] == 1
    propensity = rows.propensity[traffic][usable]
    calibrator = Calibrator.fit(margins[usable], is_fraud, inverse_propensity(propensity))
    scores = calibrator(margins)
    amounts = rows.amount_minor[traffic]
    # Of the days' traffic only a part may be here (cards set apart): a number a day is one of so much less.
    part = len(traffic) / max(1, int(np.count_nonzero(span.holds(rows.event_time_us))))
    on = Calibration(
        scores=scores[usable],
        is_fraud=is_fraud,
        amounts=amounts[usable],
        weights=1.0 / propensity,
        traffic=Risks(scores, amounts),
        days=_days_there(rows, span) * part,
    )
    solution = solve(policy, on.scores, on.is_fraud, on.weights, on.days, scores, amounts)
    return calibrator, on, solution


def _days_there(rows: TrainingSet, span: Span) -> float:
    """Return the days of a span on which there was traffic, in parts of a day where it ends with one.

    What was excluded, or an outage, takes days away: a number of alerts a day is one for each that is left.
    """
    inside = rows.event_time_us[span.holds(rows.event_time_us)]
    length = (span.end_us - span.start_us) / DAY_US
    there = len(np.unique((inside - span.start_us) // DAY_US))
    return length * there / max(1, math.ceil(length))


def _ranges(rows: TrainingSet, trained: NDArray[np.int64]) -> tuple[Range, ...]:
    ranges = []
    for name in rows.field_names:
        values = rows.features[trained, rows.feature_names.index(name)]
        if not np.all(np.isnan(values)):
            ranges.append(Range(name, float(np.nanmin(values)), float(np.nanmax(values))))
    return tuple(ranges)


def _selftest(booster: bytes, reference: NDArray[np.float32]) -> SelfTest:
    """Rows spread over the reference, the last of them with ever more columns missing."""
    places = np.linspace(0, len(reference) - 1, SELFTEST_ROWS).astype(np.int64)
    matrix = reference[places].copy()
    columns = matrix.shape[1]
    for step in range(_EMPTIED_ROWS):
        missing = columns * (step + 1) // _EMPTIED_ROWS
        matrix[SELFTEST_ROWS - _EMPTIED_ROWS + step, :missing] = np.nan
    return SelfTest(matrix, margins_of(load_booster(booster), matrix))
