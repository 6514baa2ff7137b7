"""How far the estimated number of distinct values may be off."""

import numpy as np
import pytest

from fraud.features import cells
from fraud.features.layout import estimates
from fraud.features.state import FeatureState, Rows
from tests.features.making import START, spec_of

TRIALS = 200


def estimated(buckets: int, count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Estimates over TRIALS cards, each seen once with `count` different shops."""
    spec = spec_of(
        {"card": {"windows": ["1h"], "distinct": ["shop"]}, "shop": {}},
        entities_max=1_000_000,
        distinct_buckets=buckets,
    )
    rng = np.random.default_rng(seed)
    shops = np.concatenate([rng.choice(900_000, count, replace=False) for _ in range(TRIALS)])
    cards = np.repeat(np.arange(TRIALS), count)
    n = len(cards)
    state = FeatureState(spec)
    surrogates = np.column_stack([cards, shops]).astype(np.int32)
    state.score(Rows(np.full(n, START), np.ones(n, np.int64), surrogates, np.empty((n, 0))))
    last = np.column_stack([np.arange(TRIALS), np.zeros(TRIALS)]).astype(np.int32)
    rows = Rows(np.full(TRIALS, START), np.ones(TRIALS, np.int64), last, np.empty((TRIALS, 0)))
    return state.peek(rows).features[:, spec.places["card_distinct_shop_1h"]].astype(np.float64)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 50, 100, 200])
@pytest.mark.parametrize(("buckets", "tolerance"), [(64, 0.20), (256, 0.06)])
def test_the_estimate_is_within_tolerance_up_to_200_values(
    buckets: int, tolerance: float, count: int
) -> None:
    found = estimated(buckets, count, seed=count)
    assert abs(found.mean() / count - 1) < 0.06
    assert np.sqrt(np.mean((found / count - 1) ** 2)) < tolerance


def test_the_estimate_grows_with_occupied_buckets_and_is_capped() -> None:
    table = estimates(64)
    assert table[64] == 0
    assert table[0] == table[1] == pytest.approx(64 * np.log(64))
    assert (np.diff(table[1:]) < 0).all()


def test_surrogates_in_a_row_spread_over_all_buckets_like_random_ones() -> None:
    counts = np.bincount([int(cells.bucket_of(surrogate, 64)) for surrogate in range(64_000)], minlength=64)
    assert len(counts) == 64
    chi_square = ((counts - 1_000) ** 2 / 1_000).sum()
    assert chi_square < 103  # 63 degrees of freedom, one in a thousand


def test_a_value_leaves_the_window_with_its_last_sighting() -> None:
    spec = spec_of({"card": {"windows": [{"width": "10s", "hop": "5s"}], "distinct": ["shop"]}, "shop": {}})
    state = FeatureState(spec)
    names = spec.places["card_distinct_shop_10s"]

    def seen(second: int, shop: int) -> float:
        row = Rows(
            np.array([START + second * 1_000_000]),
            np.ones(1, np.int64),
            np.array([[0, shop]], np.int32),
            np.empty((1, 0)),
        )
        return float(state.score(row).features[0, names])

    seen(0, 1), seen(4, 2), seen(12, 1)
    assert seen(14, 1) == pytest.approx(2, abs=0.1)  # 1 at 12 s, 2 at 4 s in the window's first hop
    assert seen(15, 1) == pytest.approx(1, abs=0.1)
