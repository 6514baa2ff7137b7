"""How long a bundle takes to score, as a ratio to another one: never an absolute time.

    the same rows ─► challenger, champion, challenger, champion, …  ─► median of the ratios of pairs

The processor time of this thread counts, so that a busy machine, which takes
turns away from both, moves neither.
"""

import time

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle

ROWS_MAX = 512
"""Rows of a batch; the scorer's largest by default."""
REPEATS = 15


def scoring_ratio(
    challenger: Bundle,
    challenger_rows: NDArray[np.float32],
    champion: Bundle,
    champion_rows: NDArray[np.float32],
) -> float:
    """Return the challenger's time to score a batch ÷ the champion's: the median of repeated pairs.

    The matrices are the same rows as each bundle takes them, float32[n, d] with n ≥ 1.
    """
    ratios = []
    for _ in range(REPEATS):
        mine, theirs = _seconds(challenger, challenger_rows), _seconds(champion, champion_rows)
        ratios.append(mine / theirs)
    return float(np.median(ratios))


def _seconds(bundle: Bundle, rows: NDArray[np.float32]) -> float:
    started = time.thread_time_ns()
    bundle.scores_of(rows)
    return max(1, time.thread_time_ns() - started) / 1e9
