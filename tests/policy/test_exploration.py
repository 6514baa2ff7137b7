"""Exploration: who is let through, and that the propensity is the probability it says."""

from collections import defaultdict

import numpy as np
import pytest
from pydantic import SecretStr

from fraud.policy.exploration import Explored, Explorer, draw
from fraud.policy.spending import Budget, DaySpending
from fraud.records import Outcome
from fraud.settings.model import Band, Exploration

KEY = "a key of enough letters"
FIVE_PERCENT = Exploration(rate=0.05, key=SecretStr(KEY), amount_max_minor=10_000)
BANDS = (Band.model_validate({"from": 0.8, "rate": 0.1}), Band.model_validate({"from": 0.95, "rate": 0.02}))
NOBODY = (0, 0)


def explored(settings: Exploration, rows: int, amount: int = 500, score: float = 0.9) -> list[Explored]:
    """What becomes of as many would-be declines without a budget."""
    explorer, spent = Explorer(settings), DaySpending(Budget())
    return [explorer.explore(f"t{i}", score, amount, NOBODY, spent) for i in range(rows)]


def test_draws_are_uniform_and_depend_on_key_and_id() -> None:
    draws = np.array([draw(KEY.encode(), f"t{i}") for i in range(20_000)])
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 45  # chi square, 19 degrees of freedom, p = .0007
    assert draw(KEY.encode(), "t1") == draws[1]
    assert draw(b"another key entirely", "t1") != draws[1]
    assert draw(b"x" * 500, "t1") != draw(b"x" * 501, "t1")


def test_about_the_rate_of_declines_is_let_through_with_its_propensity() -> None:
    answers = explored(FIVE_PERCENT, 20_000)
    through = [answer for answer in answers if answer.explored]
    assert 800 < len(through) < 1_200
    assert {(a.outcome, a.propensity) for a in through} == {(Outcome.APPROVE, 0.05)}
    assert {(a.outcome, a.propensity) for a in answers if not a.explored} == {(Outcome.DECLINE, 0.95)}


def test_inverse_propensity_weights_of_the_explored_restore_all_declines() -> None:
    answers = explored(FIVE_PERCENT, 20_000)
    assert sum(1 / a.propensity for a in answers if a.explored) == pytest.approx(20_000, rel=0.1)


def test_an_amount_above_the_cap_is_never_let_through() -> None:
    assert set(explored(FIVE_PERCENT, 2_000, 10_001)) == {(Outcome.DECLINE, False, 1.0)}
    assert any(answer.explored for answer in explored(FIVE_PERCENT, 2_000, 10_000))


@pytest.mark.parametrize("settings", [Exploration(), FIVE_PERCENT.model_copy(update={"enabled": False})])
def test_a_rate_of_zero_or_the_switch_in_the_settings_explores_nothing(settings: Exploration) -> None:
    assert set(explored(settings, 1_000)) == {(Outcome.DECLINE, False, 1.0)}


def test_a_band_gives_the_rate_from_its_score_on() -> None:
    explorer = Explorer(FIVE_PERCENT.model_copy(update={"bands": BANDS}))
    assert [explorer.rate(score) for score in (0.1, 0.799, 0.8, 0.949, 0.95, 1.0)] == [
        *(0.05, 0.05, 0.1, 0.1, 0.02, 0.02),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_logged_propensity_is_the_share_let_through_in_bands_and_under_budgets(seed: int) -> None:
    """Many days of few payments: whatever was spent, rows of one chance get through at that rate."""
    settings = FIVE_PERCENT.model_copy(update={"bands": BANDS, "rate": 0.3})
    explorer, rng = Explorer(settings), np.random.default_rng(seed)
    tries: dict[tuple[float, bool], list[bool]] = defaultdict(list)
    for day in range(1_500):
        spent = DaySpending(Budget(2_000, ((1, 1_500),)))
        for row in range(20):
            score, amount = float(rng.choice([0.5, 0.85, 0.97])), int(rng.integers(1, 1_200))
            entities = (row, int(rng.integers(3)))
            chance = explorer.chance(score, amount, entities, spent)
            begun = spent.rows > 0
            answer = explorer.explore(f"{seed}-{day}-{row}", score, amount, entities, spent)
            assert answer.propensity == (chance if answer.explored else 1 - chance)
            tries[chance, begun].append(answer.explored)
    assert {chance for chance, _ in tries} == {0.0, 0.02, 0.1, 0.3}
    for (chance, _), through in tries.items():
        error = np.sqrt(chance * (1 - chance) / len(through))
        assert abs(np.mean(through) - chance) <= 4.5 * error, (chance, np.mean(through), len(through))
