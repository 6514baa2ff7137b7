"""What a version in shadow and the champion made of the same payments: whose differences count."""

from collections.abc import Sequence

import polars as pl

from fraud.clock import DAY_US
from fraud.gate.probation import Differing, Pairs
from fraud.records import MISSING_SURROGATE, Outcome
from fraud.retrainer.shadowing import count_pairs

ENTITIES = ("entity_card", "entity_device")
Row = tuple[int, int | None, int | None, Outcome, Outcome]


def rows_of(given: Sequence[Row]) -> pl.DataFrame:
    """Rows of (day, card, device, outcome, outcome in shadow)."""
    day, card, device, outcome, shadow = zip(*given, strict=True)
    return pl.DataFrame(
        {
            "event_time_us": [it * DAY_US for it in day],
            "entity_card": pl.Series(card, dtype=pl.Int32),
            "entity_device": pl.Series(device, dtype=pl.Int32),
            "score": [0.5] * len(given),
            "outcome": [int(it) for it in outcome],
            "explored": [False] * len(given),
            "rule": pl.Series([None] * len(given), dtype=pl.String),
            "shadow_outcome": [int(it) for it in shadow],
        }
    )


YES, NO = Outcome.DECLINE, Outcome.APPROVE


def test_a_flood_of_one_card_is_one_difference_a_day() -> None:
    pairs, differing = Pairs(), Differing()
    flood: list[Row] = [(0, 7, None, NO, YES)] * 300
    count_pairs(pairs, rows_of([*flood, (0, 8, None, YES, NO), (0, 7, None, NO, NO)]), ENTITIES, differing)
    assert (pairs.champion_only, pairs.former_only, pairs.neither, pairs.both) == (1, 1, 1, 0)
    count_pairs(pairs, rows_of([*flood, (1, 7, None, NO, YES)]), ENTITIES, differing)
    assert pairs.champion_only == 2, "the next day counts again, the same day not at a later turn either"


def test_payments_without_a_card_go_by_what_they_give_or_count_as_one() -> None:
    pairs = Pairs()
    by_device: list[Row] = [(0, None, 1, NO, YES), (0, None, 2, NO, YES), (0, MISSING_SURROGATE, 2, NO, YES)]
    nothing: list[Row] = [(0, None, None, NO, YES)] * 5
    count_pairs(pairs, rows_of([*by_device, *nothing]), ENTITIES, Differing())
    assert pairs.champion_only == 2 + 1


def test_payments_on_which_both_agree_all_count() -> None:
    pairs = Pairs()
    rows = rows_of([(0, 7, None, YES, YES)] * 4 + [(0, 7, None, NO, NO)] * 5)
    count_pairs(pairs, rows, ENTITIES, Differing())
    assert (pairs.both, pairs.neither, pairs.champion_only, pairs.former_only) == (4, 5, 0, 0)
