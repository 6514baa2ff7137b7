"""Bursts of confirmed misses: votes of attacks, spans, least numbers, and what one submitter can add."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.retrainer.misses import Burst, Facts, bounded, judge_misses
from fraud.settings.triggers import MissBurst

LAST = 200
RULES = MissBurst(least=10, jump=3.0, weeks=4)
Miss = tuple[int, int, int, str]
"""Days ago, card, merchant, submitter."""


def facts(misses: list[Miss], traffic: int = 4_000, stale: bool = False) -> Facts:
    """Misses among honest payments of as many days."""
    ages = np.array([age for age, *_ in misses], np.int64)
    honest = np.arange(traffic) % 40
    cards = [card for _, card, *_ in misses] + list(range(10_000, 10_000 + traffic))
    merchants = [merchant for _, _, merchant, _ in misses] + [900 + i % 50 for i in range(traffic)]
    is_miss = np.arange(len(misses) + traffic) < len(misses)
    return Facts(
        np.stack([cards, merchants], axis=1).astype(np.int64),
        is_miss,
        (LAST - np.concatenate([ages, honest])).astype(np.int32),
        is_miss & (not stale),
        np.array([name for *_, name in misses] + [""] * traffic),
        LAST,
        Counter({"bank": 60, **Counter(name for age, *_, name in misses if age >= 7)}),
    )


def quiet(a_day: int = 2, name: str = "bank") -> list[Miss]:
    """Some misses a day, each of a card and merchant of its own."""
    return [(age, 100 * age + i, 50_000 + 100 * age + i, name) for age in range(7, 40) for i in range(a_day)]


def burst(count: int, age: int = 0, name: str = "bank", card: int | None = None, shop: int = 0) -> list[Miss]:
    return [(age, card or 7_000 + i, shop or 80_000 + i, name) for i in range(count)]


def judged(misses: list[Miss], rules: MissBurst = RULES, share: float = 0.5, stale: bool = False) -> Burst:
    found = judge_misses(facts(misses, stale=stale), rules, share)
    assert found is not None
    return found


def test_a_burst_of_separate_misses_alarms_and_says_so() -> None:
    found = judged(quiet() + burst(30))
    assert found.alarming
    assert (found.days, found.votes, found.given) == (1, 30, 30)
    assert found.reason.startswith("30 separate misses were confirmed in 1 d, 2.0 expected from quiet weeks")


@pytest.mark.parametrize(("count", "alarms"), [(9, False), (10, True)])
def test_fewer_than_the_least_number_are_no_burst(count: int, alarms: bool) -> None:
    assert judged(quiet(a_day=0) + burst(count)).alarming == alarms


@pytest.mark.parametrize(("count", "alarms"), [(25, False), (31, True)])
def test_less_than_the_factor_is_no_burst(count: int, alarms: bool) -> None:
    rules = MissBurst(least=1, jump=3.0, weeks=4)
    assert judged(quiet(a_day=10) + burst(count), rules).alarming == alarms


def test_what_the_champion_did_not_approve_or_a_cycle_has_answered_does_not_count() -> None:
    assert judged(quiet() + burst(30), stale=True).votes == 0


def test_a_thousand_disputes_of_one_card_or_at_one_merchant_are_one_vote() -> None:
    assert judged(quiet() + burst(1_000, card=7)).votes == 1
    assert judged(quiet() + burst(1_000, shop=8)).votes == 1
    assert judged(quiet() + burst(30, shop=8), RULES.model_copy(update={"one_vote": "card"})).votes == 30


def test_a_card_that_was_confirmed_before_has_voted() -> None:
    first = [(age, card, shop, name) for _, card, shop, name in burst(30) for age in (9, 0)]
    assert judged(quiet() + first).votes == 0


def test_a_slow_burst_shows_in_a_longer_span() -> None:
    slow = [miss for age in range(7) for miss in burst(9, age)]
    apart = [(age, card + 100 * age, shop + 100 * age, name) for age, card, shop, name in slow]
    found = judged(quiet() + apart)
    assert found.alarming
    assert (found.days, found.votes) == (7, 63)


def test_too_little_past_says_nothing() -> None:
    assert judge_misses(facts([(20, 1, 50_000, "bank"), *burst(50)], traffic=0), RULES, 0.5) is None


def test_a_stranger_alone_moves_nothing_and_many_are_one() -> None:
    assert judged(quiet() + burst(500, name="mallory")).votes == 0
    strangers = [(age, card, shop, f"m{card}") for age, card, shop, _ in burst(500)]
    assert judged(quiet() + strangers).votes == 0
    with_others = [*strangers, *[(0, 90_000 + i, 95_000 + i, "bank") for i in range(4)]]
    assert judged(quiet() + with_others).votes == 8


def test_whoever_always_gave_most_of_them_is_believed() -> None:
    assert judged(quiet(3) + burst(40)).votes == 40
    assert judged(quiet(3) + quiet(1, "jane") + burst(40, name="jane")).votes == 0


counts = st.dictionaries(st.sampled_from(["bank", "jane", "joe", "eve", "mallory"]), st.integers(0, 200))


@settings(max_examples=60, deadline=None)
@given(counts, counts, st.floats(0.05, 0.95))
def test_no_submitter_who_gave_few_before_adds_more_than_the_share(
    now: dict[str, int], past: dict[str, int], share: float
) -> None:
    counted = bounded(now, past, share)
    assert 0 <= counted <= sum(now.values())
    total = sum(past.values())
    for name in now:
        if total == 0 or past.get(name, 0) / total < share:
            others = sum(votes for it, votes in now.items() if it != name)
            assert counted <= others / (1 - share) + 1e-6


@settings(max_examples=60, deadline=None)
@given(counts, st.integers(6, 200), st.integers(0, 50), st.floats(0.2, 0.8))
def test_together_they_add_no_more_than_one_of_them_could(
    now: dict[str, int], bank: int, each: int, share: float
) -> None:
    past = {name: each for name in now if name != "bank"} | {"bank": bank}
    rest = sum(past.values()) - bank
    counted = bounded(now, past, share)
    if rest / (rest + bank) < share <= bank / (rest + bank):
        assert counted <= now.get("bank", 0) / (1 - share) + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 400), st.integers(1, 6))
def test_one_bought_submitter_cannot_start_a_retrain_whatever_he_sends(
    usual: int, bought: int, a_day: int
) -> None:
    """Others give no more than they are expected to; he gives as much as he likes."""
    past = quiet(a_day) + [(age, 300_000 + age, 400_000 + age, "jane") for age in range(7, 40)]
    promised = a_day + 1
    others = [(0, 500_000 + i, 600_000 + i, "bank") for i in range(min(usual, promised))]
    his = [(0, 700_000 + i, 800_000 + i, "jane") for i in range(bought)]
    found = judge_misses(
        facts(past + others + his), MissBurst(least=1, jump=3.0, weeks=4), 0.6 if a_day < 2 else 0.5
    )
    assert found is not None
    assert not found.alarming
