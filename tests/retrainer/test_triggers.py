"""When a retrain starts by itself: borders on both sides, hold-down and budget."""

import pytest

from fraud.clock import DAY_US, HOUR_US
from fraud.retrainer.triggers import CyclesBefore, due
from fraud.settings.learning import Triggers

NOW = 100 * DAY_US
WEEKLY = Triggers(every=7 * DAY_US, new_frauds=50, hold_down=6 * HOUR_US, per_day_max=3)


def before(*ages_us: int, frauds: int = 0) -> CyclesBefore:
    return CyclesBefore([NOW - age for age in sorted(ages_us, reverse=True)], frauds)


def test_the_first_cycle_is_due_at_once() -> None:
    assert due(WEEKLY, before(), NOW) == "first cycle"


def test_without_triggers_nothing_is_ever_due() -> None:
    off = Triggers(every=None, new_frauds=None)
    assert due(off, before(), NOW) is None
    assert due(off, before(90 * DAY_US, frauds=1_000), NOW) is None


@pytest.mark.parametrize(("age_us", "why"), [(7 * DAY_US, "schedule"), (7 * DAY_US - 1, None)])
def test_the_schedule_counts_from_the_last_start(age_us: int, why: str | None) -> None:
    assert due(WEEKLY, before(30 * DAY_US, age_us), NOW) == why


@pytest.mark.parametrize(("frauds", "why"), [(50, "50 new fraud labels"), (49, None)])
def test_new_frauds_trigger_at_their_number(frauds: int, why: str | None) -> None:
    assert due(WEEKLY, before(DAY_US, frauds=frauds), NOW) == why


@pytest.mark.parametrize(("age_us", "held"), [(6 * HOUR_US - 1, True), (6 * HOUR_US, False)])
def test_nothing_starts_within_the_hold_down(age_us: int, held: bool) -> None:
    assert (due(WEEKLY, before(age_us, frauds=10_000), NOW) is None) == held


@pytest.mark.parametrize(("oldest_us", "spent"), [(DAY_US - 1, True), (DAY_US, False)])
def test_a_flood_of_labels_cannot_spend_more_than_the_days_budget(oldest_us: int, spent: bool) -> None:
    cycles = before(oldest_us, 12 * HOUR_US, 7 * HOUR_US, frauds=10_000)
    assert (due(WEEKLY, cycles, NOW) is None) == spent
