"""Budgets of a day: never exceeded, whatever the order, and the same after a restart."""

import json
from collections import defaultdict
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fraud.clock import DAY_US, HOUR_US
from fraud.policy.exploration import Explorer
from fraud.policy.spending import Budget, DaySpending, Spending, day_of
from fraud.records import Decision, Entry, Outcome, Scored
from fraud.settings.model import Exploration

BRUSSELS = ZoneInfo("Europe/Brussels")
EXPLORER = Explorer(Exploration(rate=0.5, key=SecretStr("a key of enough letters")))
BUDGETS = {"card": Budget(1_000, ((0, 600), (1, 400))), "transfer": Budget(None, ((1, 300),))}
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["card", "transfer"]),
        st.integers(0, 700),  # amount
        st.tuples(st.integers(-1, 2), st.integers(-1, 2)),
        st.integers(0, 40 * HOUR_US),  # since the row before
    ),
    max_size=60,
)
Row = tuple[str, int, tuple[int, int], int]


def scored(row: Row, number: int, arrival_us: int, spending: Spending) -> Entry:
    """The entry of a would-be decline, as the scorer makes it."""
    model, amount, entities, _ = row
    spending.turn(arrival_us)
    answer = EXPLORER.explore(f"t{number}", 0.9, amount, entities, spending.models[model])
    decision = Decision(0.9, 990, answer.outcome, "v", "p", answer.explored, answer.propensity, ())
    return Entry(
        number + 1,
        arrival_us,
        Scored(f"t{number}", 0, model, entities, amount, "EUR", amount, (), (), b"", decision),
    )


def lived(rows: list[Row], spending: Spending) -> list[Entry]:
    entries: list[Entry] = []
    arrival_us = 0
    for number, row in enumerate(rows):
        arrival_us += row[3]
        entries.append(scored(row, number, arrival_us, spending))
    return entries


def spent_of(spending: Spending) -> dict[str, object]:
    return {name: (it.rows, it.total_minor, it.by_entity) for name, it in spending.models.items()}


@given(ROWS)
def test_no_budget_is_ever_exceeded(rows: list[Row]) -> None:
    entries = lived(rows, Spending(BUDGETS, BRUSSELS))
    days: dict[tuple[str, int], int] = defaultdict(int)
    each: dict[tuple[str, int, int, int], int] = defaultdict(int)
    for entry in entries:
        event = entry.event
        assert isinstance(event, Scored)
        if event.decision.explored:
            day = day_of(entry.arrival_time_us, BRUSSELS)[0]
            days[event.model, day] += event.amount_base_minor
            for entity, surrogate in enumerate(event.surrogates):
                each[event.model, day, entity, surrogate] += event.amount_base_minor
    for (model, _), minor in days.items():
        most = BUDGETS[model].total_minor
        assert most is None or minor <= most
    for (model, _, entity, _), minor in each.items():
        assert minor <= dict(BUDGETS[model].by_entity).get(entity, minor)


@given(ROWS, st.integers(0, 60), st.integers(0, 60))
def test_a_fold_over_the_log_from_any_stored_state_spends_on_where_it_was(
    rows: list[Row], stop: int, later: int
) -> None:
    whole = Spending(BUDGETS, BRUSSELS)
    entries = lived(rows, whole)
    first = Spending(BUDGETS, BRUSSELS)
    for entry in entries[:stop]:
        first.take(entry)
    resumed = Spending(BUDGETS, BRUSSELS)
    assert resumed.resume(json.loads(json.dumps(first.to_dict())))
    for entry in entries[stop:]:
        resumed.take(entry)
    if entries:
        for spending in (whole, resumed):
            spending.turn(entries[-1].arrival_time_us + later)
        assert spent_of(resumed) == spent_of(whole)


@given(ROWS, st.permutations(range(60)))
def test_a_budget_holds_in_any_order_of_the_rows(rows: list[Row], order: list[int]) -> None:
    shuffled = [rows[i] for i in order if i < len(rows)]
    spent = DaySpending(BUDGETS["card"])
    for number, (_, amount, entities, _) in enumerate(shuffled):
        EXPLORER.explore(f"t{number}", 0.9, amount, entities, spent)
        assert spent.total_minor <= 1_000
        assert all(minor <= (600, 400)[entity] for (entity, _), minor in spent.by_entity.items())


def test_a_copy_is_spent_without_effect() -> None:
    spent = DaySpending(BUDGETS["card"])
    copy = spent.copy()
    copy.take((1, 1), 100)
    assert (spent.total_minor, spent.by_entity, spent.left_minor, copy.left_minor) == (0, {}, 1_000, 900)


def test_the_day_is_that_of_the_zone_days_of_23_and_25_hours_included() -> None:
    winter_ends, summer_ends = 1_711_843_200_000_000, 1_729_987_200_000_000  # 2024-03-31, -10-27, UTC
    for midnight, hours in ((winter_ends, 23), (summer_ends, 25)):
        begin, end = day_of(midnight + 12 * HOUR_US, BRUSSELS)
        assert end - begin == hours * HOUR_US
        assert day_of(begin, BRUSSELS) == (begin, end)
        assert day_of(end, BRUSSELS)[0] == end
        assert day_of(begin - 1, BRUSSELS)[1] == begin


def test_yesterdays_budget_is_over_for_good() -> None:
    spending = Spending(BUDGETS, BRUSSELS)
    spending.turn(5 * DAY_US)
    spending.models["card"].take((1, 1), 700)
    spending.turn(4 * DAY_US)
    assert spending.models["card"].total_minor == 700
    spending.turn(6 * DAY_US)
    assert spending.models["card"].total_minor == 0


def test_what_was_counted_otherwise_is_not_resumed() -> None:
    stored = Spending(BUDGETS, BRUSSELS).to_dict()
    assert not Spending(BUDGETS, ZoneInfo("UTC")).resume(stored)
    assert not Spending({"card": Budget(5)}, BRUSSELS).resume(stored)
    assert Spending({**BUDGETS, "card": Budget(5, ((0, 1), (1, 1)))}, BRUSSELS).resume(stored)


def test_a_decline_that_no_budget_admits_is_a_plain_one() -> None:
    spent = DaySpending(Budget(100), rows=1, total_minor=100)
    answers = {EXPLORER.explore(f"t{i}", 0.9, 1, (0, 0), spent) for i in range(200)}
    assert answers == {(Outcome.DECLINE, False, 1.0)}
