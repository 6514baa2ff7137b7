"""The e-processes keep their promise under continuous peeking, and have the power they should."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from fraud.gate.eprocess import (
    STAKES,
    e_of,
    more_evidence_needed,
    refresh_log_e,
    required_e,
    superiority_log_e,
)

LOG_BOUND = math.log(20)
counts = st.integers(0, 300)


@cache
def log_e(wins: int, losses: int) -> float:
    return superiority_log_e(wins, losses)


def chance_to_cross(win_share: float, units: int) -> float:
    """Exact probability that E reaches 20 at any look, looking after every discordant unit."""
    alive = {0: 1.0}  # wins → probability of having them without a crossing
    crossed = 0.0
    for n in range(1, units + 1):
        following: dict[int, float] = {}
        for wins, chance in alive.items():
            for now, step in ((wins + 1, win_share), (wins, 1 - win_share)):
                if log_e(now, n - now) >= LOG_BOUND:
                    crossed += chance * step
                else:
                    following[now] = following.get(now, 0.0) + chance * step
        alive = following
    return crossed


def test_an_equal_challenger_is_promoted_at_most_one_time_in_twenty_whenever_one_looks() -> None:
    assert 0.01 < chance_to_cross(0.5, 250) <= 0.05


def test_a_worse_challenger_is_promoted_hardly_ever() -> None:
    assert chance_to_cross(0.4, 200) < 0.005


@pytest.mark.parametrize(("win_share", "units"), [(0.60, 193), (0.70, 37), (0.80, 14)])
def test_a_better_challenger_is_seen_after_as_many_discordant_frauds_as_published(
    win_share: float, units: int
) -> None:
    assert 0.45 < chance_to_cross(win_share, units) < 0.9


def test_seeded_sequences_of_an_equal_challenger_cross_as_rarely_as_computed() -> None:
    rng = np.random.default_rng(11)
    crossed = 0
    for _ in range(400):
        wins = np.cumsum(rng.random(120) < 0.5)
        crossed += any(log_e(int(w), n - int(w)) >= LOG_BOUND for n, w in enumerate(wins, start=1))
    assert crossed / 400 <= 0.06


@given(counts, counts)
def test_superiority_is_the_mean_of_the_likelihood_ratio_over_win_shares_above_a_half(b: int, c: int) -> None:
    b, c = b % 40, c % 40
    mean, _ = quad(lambda p: 2 * (2 * p) ** b * (2 * (1 - p)) ** c, 0.5, 1)
    assert e_of(superiority_log_e(b, c)) == pytest.approx(mean, rel=1e-6)


@given(counts, counts)
def test_superiority_rises_with_wins_and_falls_with_losses(b: int, c: int) -> None:
    assert superiority_log_e(b + 1, c) > superiority_log_e(b, c) > superiority_log_e(b, c + 1)


def test_no_discordant_unit_is_no_evidence() -> None:
    assert superiority_log_e(0, 0) == pytest.approx(0, abs=1e-12)
    assert refresh_log_e(np.zeros(0, dtype=np.int64), 0.03) == pytest.approx(0, abs=1e-12)


def test_extreme_counts_stay_finite_or_fall_to_nothing() -> None:
    assert e_of(superiority_log_e(50_000, 0)) < math.inf
    assert e_of(superiority_log_e(0, 50_000)) == 0.0


def refresh_crossings(
    chances: tuple[float, float, float], runs: int, seed: int, margin: float = 0.03
) -> float:
    """Share of runs of 800 units whose refresh E reaches 20 at a look every 25 units."""
    rng = np.random.default_rng(seed)
    crossed = 0
    for _ in range(runs):
        differences = rng.choice(np.array([-1, 0, 1]), p=chances, size=800)
        looks = (refresh_log_e(differences[:n], margin) for n in range(25, 801, 25))
        crossed += any(look >= LOG_BOUND for look in looks)
    return crossed / runs


@pytest.mark.parametrize("discordant", [0.05, 0.15])
def test_a_challenger_that_is_worse_by_the_margin_is_rarely_refreshed(discordant: float) -> None:
    lost = (discordant + 0.03) / 2
    assert refresh_crossings((lost, 1 - discordant, discordant - lost), runs=250, seed=5) <= 0.06


def test_an_equal_challenger_that_rarely_differs_is_usually_refreshed_within_800_units() -> None:
    """Median 475, four in five by 700, at 4 % discordant units."""
    assert refresh_crossings((0.02, 0.96, 0.02), runs=100, seed=6) >= 0.75


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=60), st.floats(0.005, 0.4))
def test_refresh_is_the_mean_over_stakes_of_the_product_of_bets(steps: list[int], margin: float) -> None:
    wealth = [math.prod(1 + stake * (d + margin) / (1 + margin) for d in steps) for stake in STAKES]
    expected = float(np.mean(wealth))
    assert math.exp(refresh_log_e(np.array(steps, dtype=np.int64), margin)) == pytest.approx(
        expected, rel=1e-9
    )


def test_more_challengers_and_more_attempts_need_more_and_share_one_error_budget() -> None:
    assert required_e(20, 1, 1) == 40
    assert required_e(20, 4, 3) == 20 * 4 * 12
    spent = sum(4 / required_e(20, 4, attempt) for attempt in range(1, 10_000))
    assert spent == pytest.approx(1 / 20, rel=1e-3)
    assert spent < 1 / 20


def test_the_evidence_still_needed_is_just_enough() -> None:
    needed = more_evidence_needed(12, 6, LOG_BOUND)
    assert needed is not None
    assert superiority_log_e(12 * needed, 6 * needed) == pytest.approx(LOG_BOUND, abs=1e-6)
    assert more_evidence_needed(5, 5, LOG_BOUND) is None
    assert more_evidence_needed(101, 100, LOG_BOUND) is None
