import numpy as np
import pytest

from benchmarks.soak import Slice, growth


def slices(mib_an_hour: float, seed: int = 5) -> list[Slice]:
    """Eight slices of a quarter of an hour, a look a minute, memory with noise and one spike."""
    rng = np.random.default_rng(seed)
    hours = np.arange(120) / 60
    rss = 300 + mib_an_hour * hours + rng.normal(0, 2, len(hours))
    rss[70] += 200
    return [
        Slice(hours=part.tolist(), rss_mib={"scorer": held.tolist()})
        for part, held in zip(np.split(hours, 8), np.split(rss, 8), strict=True)
    ]


@pytest.mark.parametrize("mib_an_hour", [0.0, 12.0])
def test_growth_is_found_within_its_interval_in_spite_of_a_spike(mib_an_hour: float) -> None:
    low, slope, high = growth(slices(mib_an_hour), "scorer")
    assert low <= mib_an_hour <= high
    assert abs(slope - mib_an_hour) < 1.5
    assert high - low < 3
