import numpy as np
import pytest
from pydantic import SecretStr

from fraud.policy.exploration import draw, explore
from fraud.records import Outcome
from fraud.settings.model import Exploration

KEY = "a key of enough letters"
FIVE_PERCENT = Exploration(rate=0.05, key=SecretStr(KEY), amount_max_minor=10_000)


def test_draws_are_uniform_and_depend_on_key_and_id() -> None:
    draws = np.array([draw(KEY.encode(), f"t{i}") for i in range(20_000)])
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert ((counts - 1_000) ** 2 / 1_000).sum() < 45  # chi square, 19 degrees of freedom, p = .0007
    assert draw(KEY.encode(), "t1") == draws[1]
    assert draw(b"another key entirely", "t1") != draws[1]
    assert draw(b"x" * 500, "t1") != draw(b"x" * 501, "t1")


def test_about_the_rate_of_declines_is_let_through_with_its_propensity() -> None:
    answers = [explore(FIVE_PERCENT, f"t{i}", Outcome.DECLINE, 500) for i in range(20_000)]
    through = [answer for answer in answers if answer.explored]
    assert 800 < len(through) < 1_200
    assert {(a.outcome, a.propensity) for a in through} == {(Outcome.APPROVE, 0.05)}
    assert {a.propensity for a in answers if not a.explored} == {0.95}


def test_inverse_propensity_weights_of_the_explored_restore_all_declines() -> None:
    answers = [explore(FIVE_PERCENT, f"t{i}", Outcome.DECLINE, 500) for i in range(20_000)]
    assert sum(1 / a.propensity for a in answers if a.explored) == pytest.approx(20_000, rel=0.1)


def test_an_amount_above_the_cap_is_never_let_through() -> None:
    answers = {explore(FIVE_PERCENT, f"t{i}", Outcome.DECLINE, 10_001) for i in range(2_000)}
    assert answers == {(Outcome.DECLINE, False, 1.0)}
    assert any(explore(FIVE_PERCENT, f"t{i}", Outcome.DECLINE, 10_000).explored for i in range(2_000))


@pytest.mark.parametrize("outcome", [Outcome.APPROVE, Outcome.CHALLENGE, Outcome.REVIEW])
def test_only_declines_are_explored(outcome: Outcome) -> None:
    answers = {explore(FIVE_PERCENT, f"t{i}", outcome, 500) for i in range(1_000)}
    assert answers == {(outcome, False, 1.0)}


def test_a_rate_of_zero_explores_nothing() -> None:
    assert explore(Exploration(), "t", Outcome.DECLINE, 1) == (Outcome.DECLINE, False, 1.0)
