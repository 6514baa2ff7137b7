"""Archived payments scored with another bundle: as the bundle scores them, each of them once."""

from collections.abc import Iterator

import polars as pl
import pytest

from fraud.retrainer.matrices import matrix_of
from fraud.retrainer.rescoring import Rescoring
from tests.retrainer.patterns import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = World(tmp_path_factory.mktemp("rescoring"))
    opened.pass_days(24)
    yield opened
    opened.close()


def test_each_payment_is_scored_once_and_forgotten_when_nobody_asks_for_it(world: World) -> None:
    rival = world.rival(world.train())
    assert rival is not None
    rows = world.history().transactions("card").sort("position").collect()
    expected = rival.bundle.scores_of(matrix_of(rival.bundle, rows))
    asked = 0

    def transactions() -> pl.LazyFrame:
        nonlocal asked
        asked += 1
        return rows.lazy()

    rescoring = Rescoring(rival.bundle)
    half, positions = len(rows) // 2, rows["position"]
    first = rescoring.scores(positions[:half], transactions).sort("position")
    assert first["score"].to_list() == expected[:half].tolist()
    again = rescoring.scores(positions[10:half], transactions)
    assert (len(again), asked) == (half - 10, 1)
    whole = rescoring.scores(positions, transactions).sort("position")
    assert whole["score"].to_list() == expected.tolist()
    assert asked == 2
    assert rescoring.scores(positions[:0], transactions).is_empty()
