"""One or two versions put to the same recent rows: how they score, what moves them, what has moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.bundle.references import SCORE_EDGES
from fraud.clock import format_time
from fraud.monitoring.drift import Drift, Floats, drift, feature_drift, risk_shares, score_shares
from fraud.records import Outcome
from fraud.retrainer.casework import Rival
from fraud.retrainer.matrices import matrix_of, unseen_margins

REASON_ROWS: Final = 500
"""Contributions cost about a millisecond a row."""
REASONS_SHOWN: Final = 20
CUT_OFFS: Final = (900, 950, 990)
"""Risk scores that clients commonly cut at: the riskiest 10, 5 and 1 % of reference traffic."""


@dataclass(frozen=True)
class Scored:
    """A version on recent rows: shares of scores and risk scores by bin, float64[bins]; shares by outcome."""

    version: str
    scores: Floats
    risks: Floats
    outcomes: dict[str, float]
    above: dict[int, float]


@dataclass(frozen=True)
class Traffic:
    """Recent rows as one version sees them, or two; drift and reasons are those of the first."""

    rows: int
    first: str
    last: str
    sides: tuple[Scored, ...]
    between: tuple[Drift, ...]
    risk_difference: float | None
    features: tuple[Drift, ...]
    reasons: tuple[tuple[str, float], ...]
    reason_rows: int


def put_to_traffic(rows: pl.DataFrame, sides: Sequence[Rival]) -> Traffic | None:
    """Score archived rows, in log order, with one version or two; None without rows."""
    if rows.is_empty():
        return None
    matrices = [matrix_of(side.bundle, rows) for side in sides]
    margins = [
        unseen_margins(side.bundle, rows, matrix) for side, matrix in zip(sides, matrices, strict=True)
    ]
    scored = [_score(side, each) for side, each in zip(sides, margins, strict=True)]
    between: tuple[Drift, ...] = ()
    difference = None
    if len(sides) == 2:
        count = (len(rows), len(rows))
        between = (
            drift("score", scored[1].scores, scored[0].scores, count),
            drift("risk score", scored[1].risks, scored[0].risks, count),
        )
        risks = [side.bundle.risk_scores(each) for side, each in zip(sides, margins, strict=True)]
        difference = float(np.abs(risks[0] - risks[1]).mean())
    names, sizes, sampled = _reasons(sides[0].bundle, matrices[0])
    times = rows["event_time_us"]
    return Traffic(
        len(rows),
        format_time(int(times.to_numpy().min())),
        format_time(int(times.to_numpy().max())),
        tuple(scored),
        between,
        difference,
        tuple(feature_drift(sides[0].bundle, matrices[0])),
        tuple(zip(names, sizes.tolist(), strict=True)),
        sampled,
    )


def _score(side: Rival, margins: NDArray[np.float32]) -> Scored:
    bundle = side.bundle
    scores, risks = bundle.scores(margins), bundle.risk_scores(margins)
    outcomes = bundle.thresholds.outcomes(scores)
    return Scored(
        side.state.version,
        score_shares(SCORE_EDGES, scores),
        risk_shares(risks),
        {each.name: float(np.mean(outcomes == int(each))) for each in Outcome if each.value},
        {cut: float(np.mean(risks >= cut)) for cut in CUT_OFFS},
    )


def _reasons(bundle: Bundle, matrix: NDArray[np.float32]) -> tuple[list[str], Floats, int]:
    """Return the features that move the score most on a sample spread over the rows, and how much."""
    picked = np.unique(np.linspace(0, len(matrix) - 1, min(len(matrix), REASON_ROWS)).astype(np.int64))
    sizes = np.abs(bundle.contributions(matrix[picked])[:, :-1]).mean(axis=0)
    best = np.argsort(-sizes, kind="stable")[:REASONS_SHOWN]
    return [bundle.column_names[i] for i in best.tolist()], sizes[best], len(picked)
