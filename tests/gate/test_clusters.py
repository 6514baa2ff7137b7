"""One vote per attack: what links frauds, and that a vote once given stays."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud.gate.clusters import numbered, units

Row = tuple[int, bool, int, int]


def attacks(rows: list[Row]) -> list[tuple[int, list[int]]]:
    """Rows of (day, fraud, card, merchant) → [(day, rows)]."""
    day, fraud, card, merchant = (np.array(column) for column in zip(*rows, strict=True))
    found = units(np.stack([card, merchant], axis=1), fraud.astype(bool), day.astype(np.int32))
    return [(unit.day, unit.rows.tolist()) for unit in found]


def test_all_frauds_of_an_attack_have_its_number_whatever_their_day() -> None:
    surrogates = np.array([[1, 10], [2, 11], [3, 12], [1, 13], [4, 10]])
    is_fraud = np.array([True, True, False, True, False])
    assert numbered(surrogates, is_fraud).tolist() == [0, 1, -1, 0, -1]
    assert numbered(surrogates, np.zeros(5, dtype=bool)).tolist() == [-1] * 5


LEGITIMATE = [(0, False, 1_000 + i, 7) for i in range(400)]
"""Honest traffic of merchant 7."""


def test_frauds_of_one_card_are_one_unit() -> None:
    assert attacks([(0, True, 1, 10), (0, True, 2, 11), (0, True, 1, 12)]) == [(0, [0, 2]), (0, [1])]


def test_a_later_fraud_of_the_same_card_adds_no_vote_and_does_not_change_the_first() -> None:
    assert attacks([(0, True, 1, 10), (3, True, 1, 11), (3, True, 2, 12)]) == [(0, [0]), (3, [2])]


def test_a_merchant_whose_fraud_share_is_out_of_line_makes_one_unit() -> None:
    ring = [(0, True, card, 99) for card in range(5)]
    assert attacks(ring + LEGITIMATE) == [(0, [0, 1, 2, 3, 4])]


def test_a_busy_merchant_in_line_with_the_others_links_nothing() -> None:
    frauds = [(0, True, card, 7) for card in range(5)]
    assert len(attacks(frauds + LEGITIMATE)) == 5


def test_two_frauds_at_a_merchant_are_too_few_to_link() -> None:
    assert len(attacks([(0, True, 1, 99), (0, True, 2, 99), *LEGITIMATE])) == 2


def test_links_chain_across_cards_and_merchants() -> None:
    chain = [(0, True, 1, 98), (0, True, 2, 98), (0, True, 3, 98), (0, True, 3, 99), (0, True, 4, 99)]
    assert attacks([*chain, (0, True, 5, 99), *LEGITIMATE]) == [(0, [0, 1, 2, 3, 4, 5])]


def test_a_missing_entity_links_nothing() -> None:
    assert len(attacks([(0, True, -1, -1)] * 4)) == 4


def test_a_merchant_found_out_later_does_not_merge_votes_already_given() -> None:
    first = [(0, True, 1, 99), (0, True, 2, 99), *LEGITIMATE]
    later = [(1, True, card, 99) for card in range(10, 16)]
    assert attacks(first + later) == [(0, [0]), (0, [1])], "the later ones join what has voted"


def test_without_frauds_there_are_no_units() -> None:
    assert units(np.zeros((3, 2), np.int64), np.zeros(3, bool), np.zeros(3, np.int32)) == []


row = st.tuples(st.integers(0, 3), st.booleans(), st.integers(-1, 6), st.integers(-1, 4))


@given(st.lists(row, min_size=1, max_size=50), st.integers(0, 3))
def test_later_days_never_change_earlier_votes(rows: list[Row], day: int) -> None:
    rows.sort(key=lambda given: given[0])
    before = [given for given in rows if given[0] <= day]
    if before:
        assert attacks(before) == [unit for unit in attacks(rows) if unit[0] <= day]


@given(st.lists(row, min_size=1, max_size=50))
def test_every_fraud_votes_at_most_once_and_units_come_in_event_order(rows: list[Row]) -> None:
    rows.sort(key=lambda given: given[0])
    found = attacks(rows)
    members = [member for _, unit in found for member in unit]
    assert len(members) == len(set(members))
    assert all(rows[member][1] for member in members)
    assert all((a[0], a[1][0]) < (b[0], b[1][0]) for a, b in pairwise(found))
