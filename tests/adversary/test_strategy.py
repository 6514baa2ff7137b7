import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.adversary.strategy import BOUNDS, CHOICES, Strategy, known_strategies, read_strategies
from fraud.errors import ConfigError

NAMES = (
    "amount_ladder",
    "night_bursts",
    "low_and_slow",
    "card_testing",
    "merchant_collusion",
    "account_takeover",
    "new_device",
    "split_payments",
)


def test_the_known_strategies_keep_their_names() -> None:
    assert tuple(strategy.name for strategy in known_strategies()) == NAMES


@given(st.integers(0, 7), st.integers(0, 2**32), st.integers(1, 30))
def test_mutants_of_mutants_stay_within_bounds(place: int, seed: int, generations: int) -> None:
    rng = np.random.default_rng(seed)
    strategy = known_strategies()[place]
    for generation in range(generations):
        strategy = strategy.mutated(rng, f"mutant~{generation}")  # refuses what is out of bounds
    assert strategy.name == f"mutant~{generations - 1}"


def test_mutants_differ_from_their_parents_and_repeat_with_their_seed() -> None:
    for strategy in known_strategies():
        mutants = [strategy.mutated(np.random.default_rng(seed), "mutant") for seed in range(20)]
        assert len(set(mutants)) > 15
        assert strategy.mutated(np.random.default_rng(3), "mutant") == mutants[3]


def test_strategies_are_read_from_files_of_either_kind(tmp_path: Path) -> None:
    known = known_strategies()
    as_json = tmp_path / "held_out.json"
    as_json.write_text(json.dumps({strategy.name: strategy.as_json() for strategy in known}))
    assert read_strategies(as_json) == known
    as_toml = tmp_path / "held_out.toml"
    as_toml.write_text('[slow_mule]\npayments = 2\nmerchant = "mule"\n')
    assert read_strategies(as_toml) == (Strategy(name="slow_mule", payments=2, merchant="mule"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no strategy"),
        ("slow = 3", "slow is no table"),
        ("[slow]\npaymints = 2", "strategy slow: unknown paymints; allowed: access"),
        ('[slow]\npayments = "2"', "strategy slow: payments = '2': give 1 to 40"),
        ('[slow]\nmerchant = "none"', "strategy slow: merchant = 'none': give one of any"),
        ("[slow]\nhour_from = 20\nhour_until = 8", "hour_until = 8: give more than hour_from, 20"),
        ('[slow]\ndevice = "own"', 'set access = "account"'),
        ("[slow]\nusual_percent = 100", 'set access = "account"'),
        ("[slow", "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "strategies.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_strategies(path)


@pytest.mark.parametrize("field", BOUNDS)
def test_bounds_hold_on_both_sides(field: str) -> None:
    least, most = BOUNDS[field]
    edge = Strategy(name="edge", access="account").as_json()
    for value in (least, most):
        Strategy(**edge | {field: value})
    for value in (least - 1, most + 1):
        with pytest.raises(ConfigError, match=field):
            Strategy(**edge | {field: value})


def test_every_choice_is_used_by_some_known_strategy_or_held_out() -> None:
    used = {(field, getattr(strategy, field)) for strategy in known_strategies() for field in CHOICES}
    missing = {(field, value) for field, values in CHOICES.items() for value in values} - used
    assert missing == {("merchant", "mule"), ("access", "opened")}
