from collections import Counter

import numpy as np
import pytest

from fraud.adversary.choosers import Chooser, EpsilonGreedy, Evolution, Exp3, Scripted
from fraud.adversary.strategy import Strategy, known_strategies

KNOWN = known_strategies()
SEED = 11


def _play(chooser: Chooser, profit: dict[str, int], rounds: int, rng: np.random.Generator) -> Counter[str]:
    used: Counter[str] = Counter()
    for _ in range(rounds):
        strategy = chooser.draw(rng)
        used[strategy.name] += 1
        noisy = profit.get(strategy.name, -1_000) + int(rng.normal(0, 2_000))
        chooser.reward(strategy, noisy, rng)
    return used


@pytest.mark.parametrize("chooser", [EpsilonGreedy(KNOWN), Exp3(KNOWN)], ids=["epsilon", "exp3"])
def test_a_bandit_goes_where_profit_is_and_follows_when_it_moves(chooser: Chooser) -> None:
    rng = np.random.default_rng(SEED)
    _play(chooser, {"card_testing": 30_000}, 500, rng)
    assert _play(chooser, {"card_testing": 30_000}, 200, rng).most_common(1)[0][0] == "card_testing"
    _play(chooser, {"low_and_slow": 30_000}, 1_000, rng)
    assert _play(chooser, {"low_and_slow": 30_000}, 200, rng).most_common(1)[0][0] == "low_and_slow"


def test_a_script_never_learns() -> None:
    rng = np.random.default_rng(SEED)
    used = _play(Scripted(KNOWN[:2]), {KNOWN[0].name: 10**6}, 10, rng)
    assert set(used.values()) == {5}


def test_exp3_keeps_every_strategy_possible() -> None:
    rng = np.random.default_rng(SEED)
    chooser = Exp3(KNOWN, gamma=0.1)
    _play(chooser, {"new_device": 10**9}, 2_000, rng)
    assert chooser.chances.sum() == pytest.approx(1.0)
    assert chooser.chances.min() >= 0.1 / len(KNOWN) - 1e-12


def test_evolution_breeds_from_what_paid() -> None:
    """Profit that falls with the amount: amounts of the population fall."""
    rng = np.random.default_rng(SEED)
    evolution = Evolution(KNOWN, trials=1)
    before = np.median([one.amount_minor for one in evolution.population])
    for _ in range(400):
        strategy = evolution.draw(rng)
        evolution.reward(strategy, -strategy.amount_minor, rng)
    assert evolution.generation == 400 // len(KNOWN)
    assert len(evolution.population) == len(KNOWN)
    assert len({one.name for one in evolution.population}) == len(KNOWN)
    assert np.median([one.amount_minor for one in evolution.population]) < 0.5 * before


def test_a_reward_for_the_dead_changes_nothing() -> None:
    rng = np.random.default_rng(SEED)
    evolution = Evolution(KNOWN, trials=1)
    for _ in range(50):
        evolution.reward(Strategy(name="gone~1"), 10**6, rng)
    assert evolution.generation == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scripted([]),
        lambda: EpsilonGreedy(KNOWN, epsilon=1.5),
        lambda: EpsilonGreedy(KNOWN, step=0.0),
        lambda: Exp3(KNOWN, gamma=0.0),
        lambda: Exp3(KNOWN, leak=1.0),
        lambda: Evolution(KNOWN, trials=0),
    ],
)
def test_what_cannot_choose_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"strategies|epsilon|gamma|trials"):
        make()  # type: ignore[operator]
