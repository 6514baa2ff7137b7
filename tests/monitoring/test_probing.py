"""Probing: patterns against a slow definition, borders on both sides, and findings against quiet weeks."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.clock import HOUR_US, MINUTE_US
from fraud.monitoring.probing import PATTERNS, Seen, count, judge, kinds_of
from fraud.settings.monitoring import Ladder, ManyDeclines, ManySmall, Probing, Trial

RULES = Probing(
    ladder=Ladder(steps_min=3, factor=1.5, within=HOUR_US),
    trial=Trial(small_max_minor=140, large_min_minor=420, within=HOUR_US),
    declines=ManyDeclines(count_min=3, share=0.5, within=HOUR_US),
    small=ManySmall(count_min=3, share=0.5, within=HOUR_US, amount_max_minor=300),
)
Row = tuple[int, int, bool]
"""Minute, amount, stopped."""


def table(rows: list[tuple[int | None, int, int, bool]]) -> pl.DataFrame:
    """Rows of (card, minute, amount, stopped)."""
    return pl.DataFrame(
        {
            "position": range(len(rows)),
            "event_time_us": [minute * MINUTE_US for _, minute, _, _ in rows],
            "amount_base_minor": [amount for _, _, amount, _ in rows],
            "stopped": [stopped for *_, stopped in rows],
            "entity_card": [card for card, *_ in rows],
        },
        schema_overrides={
            "entity_card": pl.Int32,
            "amount_base_minor": pl.Int64,
            "event_time_us": pl.Int64,
            "stopped": pl.Boolean,
        },
    )


def found(*rows: Row, **changes: Any) -> dict[str, int]:
    """Entities of each pattern when all rows are of one card."""
    rules = RULES.model_copy(update=changes)
    seen = count(table([(7, *row) for row in rows]), "entity_card", PATTERNS, rules)
    return {pattern: it.entities for pattern, it in seen.items()}


def climb(*amounts: int, every: int = 5) -> list[Row]:
    return [(i * every, amount, False) for i, amount in enumerate(amounts)]


STOP = True


@pytest.mark.parametrize(
    ("rows", "climbs"),
    [
        (climb(1_000, 1_500, 2_250, 3_375), True),
        (climb(1_000, 1_500, 2_250, 3_376), False),
        (climb(1_000, 1_500, 2_250), False),
        (climb(1_000, 1_000, 1_500, 2_250), False),
        # What lies below breaks no run, what passes far above begins another.
        (climb(1_000, 1_100, 50, 1_200, 400, 1_300), True),
        (climb(9_000, 1_000, 1_100, 1_200, 1_300), False),
        (climb(1_000, 1_100, 1_200, 9_000, 9_100, 9_200), False),
        (climb(1_000, 1_100, 1_200, 9_000, 9_100, 9_200, 9_300), True),
        # From the first step on, not from the payment before it.
        (climb(1_000, 1_100, 1_200, 1_300, every=30), True),
        (climb(1_000, 1_100, 1_200, 1_300, every=31), False),
        (climb(0, 1, 2, 3), False),
        # Half-way down after each stopped one, and up again.
        ([(0, 1_000, False), (5, 1_500, STOP), (10, 1_250, STOP), (15, 1_125, False)], True),
        ([(0, 1_000, False), (5, 1_500, STOP), (10, 1_250, False), (15, 1_375, STOP)], True),
        ([(0, 1_000, False), (5, 8_000, STOP), (10, 1_250, STOP), (15, 1_125, False)], False),
        # Nothing has passed yet, or the same sum is tried again.
        ([(0, 1_000, STOP), (5, 1_100, STOP), (10, 1_200, STOP), (15, 1_300, STOP)], False),
        ([(0, 1_000, False), (5, 1_500, STOP), (10, 1_500, STOP), (15, 1_500, STOP)], False),
    ],
)
def test_a_ladder_is_a_run_of_steps_above_what_passed(rows: list[Row], climbs: bool) -> None:
    assert found(*rows)["ladder"] == climbs


@pytest.mark.parametrize(
    ("rows", "tries"),
    [
        ([(0, 140, False), (60, 420, False)], True),
        ([(0, 140, False), (61, 420, False)], False),
        ([(0, 141, False), (5, 420, False)], False),
        ([(0, 140, False), (5, 419, False)], False),
        ([(0, 0, False), (5, 420, False)], False),
        ([(0, 420, False), (5, 140, False)], False),
        ([(0, 100, False), (20, 200, False), (50, 100, STOP), (90, 420, STOP)], True),
    ],
)
def test_a_trial_is_a_small_payment_and_soon_a_large_one(rows: list[Row], tries: bool) -> None:
    assert found(*rows)["trial"] == tries


@pytest.mark.parametrize(
    ("minutes", "others", "probes"),
    [([0, 30, 60], 3, True), ([0, 30, 61], 3, False), ([0, 60], 0, False), ([0, 30, 60], 4, False)],
)
def test_declines_count_within_their_span_and_as_a_share(
    minutes: list[int], others: int, probes: bool
) -> None:
    rows = [(minute, 9_000, True) for minute in minutes]
    rows += [(500 + i, 9_000, False) for i in range(others)]
    assert found(*rows)["declines"] == probes


@pytest.mark.parametrize(("amount", "probes"), [(300, True), (301, False), (0, False)])
def test_small_is_up_to_its_amount(amount: int, probes: bool) -> None:
    assert found((0, amount, False), (1, amount, False), (2, amount, False))["small"] == probes


def climbs_slowly(own: list[tuple[int, int, int, bool]]) -> bool:
    """Payments of one card as (minute, place, amount, stopped), in order."""
    highest, before, steps, found = 0, -1, list[int](), False
    for minute, _, amount, stopped in own:
        if highest < amount <= 1.5 * highest:
            steps += [minute] if amount != before else []
        elif amount > highest and not stopped:
            steps = []
        found |= len(steps) > 2 and steps[-1] - steps[-3] <= 60
        highest, before = max(highest, 0 if stopped else amount), amount
    return found


def naive(rows: list[tuple[int | None, int, int, bool]]) -> dict[str, int]:
    """The same, card by card and row by row."""
    cards = sorted({card for card, *_ in rows if card is not None})
    totals = dict.fromkeys(PATTERNS, 0)
    for card in cards:
        own = sorted(
            (minute, i, amount, stopped) for i, (it, minute, amount, stopped) in enumerate(rows) if it == card
        )
        times, amounts = [it[0] for it in own], [it[2] for it in own]
        totals["ladder"] += climbs_slowly(own)
        totals["trial"] += any(
            amounts[j] >= 420 and 1 <= amounts[i] <= 140 and times[j] - times[i] <= 60
            for j in range(len(own))
            for i in range(j)
        )
        for name, marks in (
            ("declines", [it[3] for it in own]),
            ("small", [1 <= amount <= 300 for amount in amounts]),
        ):
            marked = [time for time, mark in zip(times, marks, strict=True) if mark]
            dense = any(marked[i + 2] - marked[i] <= 60 for i in range(len(marked) - 2))
            totals[name] += dense and 2 * len(marked) >= len(own)
    return totals


payments = st.tuples(
    st.sampled_from([None, 1, 2]),
    st.integers(0, 150),
    st.sampled_from([0, 100, 140, 200, 290, 310, 420, 600]),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(payments, max_size=30))
def test_counts_are_those_of_the_slow_definition(rows: list[tuple[int | None, int, int, bool]]) -> None:
    seen = count(table(rows), "entity_card", PATTERNS, RULES)
    assert {pattern: it.entities for pattern, it in seen.items()} == naive(rows)
    assert {it.rows for it in seen.values()} == {sum(card is not None for card, *_ in rows)}


def test_kinds_are_those_of_the_configuration() -> None:
    names = ["card", "merchant", "device"]
    assert kinds_of(Probing(), names)["device"] == ("declines", "small")
    chosen = Probing(
        ladder=Ladder(entities=("device",)),
        trial=Trial(entities=()),
        declines=ManyDeclines(entities=()),
        small=ManySmall(entities=("card",)),
    )
    assert kinds_of(chosen, names) == {"card": ("small",), "device": ("ladder",)}


DAY = {("ladder", "card"): Seen(2, 1_000), ("small", "card"): Seen(20, 1_000)}


def alarming(ladders: int, small: int = 20, rows: int = 1_000, days: int = 28) -> set[str]:
    now = {("ladder", "card"): Seen(ladders, rows), ("small", "card"): Seen(small, rows)}
    return {it.pattern for it in judge(now, [DAY] * days, Probing()) if it.alarming}


@pytest.mark.parametrize(
    ("ladders", "small", "rows", "days", "patterns"),
    [
        (2, 20, 1_000, 28, set()),
        (40, 20, 1_000, 28, {"ladder"}),
        # Enough by chance and number, and still not so many times as many.
        (2, 45, 1_000, 28, set()),
        (2, 61, 1_000, 28, {"small"}),
        # Ten times the traffic explains it.
        (20, 200, 10_000, 28, set()),
        (40, 61, 1_000, 20, set()),
    ],
)
def test_a_finding_is_several_times_what_quiet_weeks_promise(
    ladders: int, small: int, rows: int, days: int, patterns: set[str]
) -> None:
    assert alarming(ladders, small, rows, days) == patterns


def test_fewer_than_the_least_number_are_no_finding_though_nobody_ever_probed() -> None:
    never = [{("ladder", "card"): Seen(0, 1_000)}] * 28

    def raised(entities: int) -> bool:
        (probe,) = judge({("ladder", "card"): Seen(entities, 1_000)}, never, Probing())
        return probe.alarming

    assert [raised(2), raised(3)] == [False, True]


def test_an_attack_of_a_week_ago_does_not_hide_that_of_today() -> None:
    loud = {("ladder", "card"): Seen(500, 1_000)}
    quiet = {("ladder", "card"): Seen(2, 1_000)}
    (probe,) = judge({("ladder", "card"): Seen(40, 1_000)}, [*[loud] * 7, *[quiet] * 21], Probing())
    assert probe.alarming


def test_what_jumps_by_itself_every_other_day_is_no_finding() -> None:
    wild = [{("small", "card"): Seen(40 * (day % 2), 1_000)} for day in range(28)]
    steady = [{("small", "card"): Seen(20, 1_000)} for _ in range(28)]

    def raised(past: list[dict[tuple[str, str], Seen]]) -> bool:
        (probe,) = judge({("small", "card"): Seen(70, 1_000)}, past, Probing())
        return probe.alarming

    assert [raised(wild), raised(steady)] == [False, True]
