"""A part of many rows, whatever pattern their positions have."""

import polars as pl
import pytest

from fraud.retrainer.thinning import one_in


@pytest.mark.parametrize("every", [1, 2, 3, 10])
@pytest.mark.parametrize("step", [2, 3, 7, 50])
def test_about_one_in_so_many_is_taken_whatever_stands_in_between(every: int, step: int) -> None:
    rows = pl.DataFrame({"position": range(1, 1 + 20_000 * every, every)})
    taken = rows.filter(one_in(step))
    assert len(taken) == pytest.approx(20_000 / step, rel=0.15)
    assert taken.equals(rows.filter(one_in(step)))


@pytest.mark.parametrize("step", [0, 1])
def test_where_all_are_few_enough_all_are_taken(step: int) -> None:
    rows = pl.DataFrame({"position": range(100)})
    assert rows.filter(one_in(step)).equals(rows)
