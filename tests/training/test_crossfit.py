"""Cross-fitting: a row's own label cannot make its score, and what agrees is believed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.training.crossfit import FOLDS, crossfit

ROWS = 4_000


def made(seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(ROWS) < 0.05
    matrix = rng.normal(size=(ROWS, 4)).astype(np.float32)
    matrix[:, 0] += 4 * is_fraud
    return matrix, is_fraud, rng.random(ROWS)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_false_label_is_not_believed_and_a_true_one_is(seed: int) -> None:
    matrix, is_fraud, draws = made(seed)
    false = np.flatnonzero(~is_fraud)[:40]
    told = is_fraud.copy()
    told[false] = True
    scores = crossfit(matrix, told, np.ones(ROWS), draws, 0, 7)
    assert np.median(scores[false]) < 0.1
    assert np.median(scores[is_fraud]) > 0.5


def test_a_score_does_not_depend_on_the_rows_own_label() -> None:
    matrix, is_fraud, draws = made(3)
    row = int(np.flatnonzero(~is_fraud)[0])
    told = is_fraud.copy()
    told[row] = True
    weights = np.ones(ROWS)
    assert (
        crossfit(matrix, told, weights, draws, 0, 7)[row]
        == crossfit(matrix, is_fraud, weights, draws, 0, 7)[row]
    )


def test_rows_that_do_not_teach_are_scored_and_change_no_score() -> None:
    matrix, is_fraud, draws = made(6)
    teaches = draws < 0.8
    turned = np.where(teaches, is_fraud, ~is_fraud)
    one, two = (crossfit(matrix, told, np.ones(ROWS), draws, 0, 7, teaches) for told in (is_fraud, turned))
    assert one.tobytes() == two.tobytes()
    assert not np.isnan(one).any()
    everybody = crossfit(matrix, is_fraud, np.ones(ROWS), draws, 0, 7, np.ones(ROWS, np.bool_))
    assert everybody.tobytes() == crossfit(matrix, is_fraud, np.ones(ROWS), draws, 0, 7).tobytes()


def test_threads_do_not_change_a_score() -> None:
    matrix, is_fraud, draws = made(4)
    one, two = (crossfit(matrix, is_fraud, np.ones(ROWS), draws, 0, 7, None, nthread) for nthread in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_without_frauds_there_is_no_score() -> None:
    matrix, is_fraud, draws = made(5)
    assert np.isnan(crossfit(matrix, np.zeros(ROWS, bool), np.ones(ROWS), draws, 0, 7)).all()
    assert FOLDS == 3
    assert not np.isnan(crossfit(matrix, is_fraud, np.ones(ROWS), draws, 0, 7)).any()
