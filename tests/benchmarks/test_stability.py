"""The benchmark on the risk score's stability: bars from shares, cuts from days, rows that never change."""

import numpy as np
import pytest

from benchmarks.stability import bars, cut_at, newest, shares_above, week_after
from fraud.clock import DAY_US
from fraud.retrainer.matrices import matrix_of
from tests.attacks.worlds import DAYS, START_US, World, made

FIRST_DAY = START_US // DAY_US


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("stable"))


def test_a_bar_is_the_largest_change_either_way() -> None:
    found = bars("full", (900, 990), np.array([[0.1, 0.010], [0.08, 0.010], [0.11, 0.016]]))
    assert [bar.value for bar in found[:2]] == pytest.approx([0.2, 1 - 0.08 / (0.29 / 3)])
    assert found[2].value == pytest.approx(0.6)
    assert [bar.verdict(quick=False) for bar in found] == ["short"] * 4
    (steady, _) = bars("full", (900,), np.array([[0.1], [0.109], [0.091]]))
    assert steady.verdict(quick=False) == "ok"


def test_a_scale_gives_its_own_reference_what_it_promises(world: World) -> None:
    cut = cut_at(world.archive, FIRST_DAY + DAYS)
    rows = newest(world.archive, cut, 100_000)
    shares = shares_above(world.bundle, rows, (900, 990))
    margins = world.bundle.margins(matrix_of(world.bundle, rows))
    edges = np.array(world.bundle.risk_scale.edges)[[899, 989]]
    assert shares.tolist() == [float(np.mean(margins > edge)) for edge in edges]
    assert shares[0] == pytest.approx(0.1, abs=0.02)


def test_reference_rows_end_before_the_cut_and_the_next_week_begins_there(world: World) -> None:
    cut = cut_at(world.archive, FIRST_DAY + 20)
    reference, after = newest(world.archive, cut, 500), week_after(world.archive, cut)
    assert len(reference) == 500
    assert (
        reference["event_time_us"].to_numpy().max() <= cut.time_us <= after["event_time_us"].to_numpy().min()
    )
    assert after["event_time_us"].to_numpy().max() < cut.time_us + 7 * DAY_US
