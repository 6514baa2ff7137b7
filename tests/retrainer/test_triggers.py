"""When a retrain starts by itself: borders on both sides, budgets, who goes first, what is tried again."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.clock import DAY_US, HOUR_US
from fraud.registry.cycles import EMERGENCIES, CycleEnd, CycleStart
from fraud.retrainer.triggers import Alarm, CyclesBefore, Due, budget_of, due, hold_down_us
from fraud.settings.triggers import MissBurst, Triggers, ValueFall

NOW = 100 * DAY_US
WEEKLY = Triggers(every=7 * DAY_US, new_frauds=50, hold_down=6 * HOUR_US, per_day_max=3)
ALERT = Triggers(
    every=7 * DAY_US,
    hold_down=6 * HOUR_US,
    per_day_max=3,
    misses=MissBurst(),
    value_detection=ValueFall(),
    probing=True,
    emergencies_max=2,
    emergencies_within=7 * DAY_US,
    backoff_max=3 * DAY_US,
)
MISSES = Alarm("misses", "card", "23 misses", NOW)


CARD = ("card",)
BOTH = ("card", "transfer")


def cycle(
    time_us: int,
    trigger: str = "schedule",
    fruitful: bool = False,
    models: tuple[str, ...] = CARD,
    ended: CycleEnd = "finished",
    trained: bool = True,
    cut_us: int | None = None,
) -> CycleStart:
    """One cycle; what it finished it has trained, and it learned up to its start, if not said otherwise."""
    taught = models if ended == "finished" and trained else ()
    cut_us = time_us if cut_us is None else cut_us
    return CycleStart(time_us, cut_us, trigger, "", fruitful, models, ended, taught)


def before(*ages_us: int, frauds: int = 0) -> CyclesBefore:
    return CyclesBefore(CARD, [cycle(NOW - age) for age in sorted(ages_us, reverse=True)], lambda *_: frauds)


def reason(triggers: Triggers, cycles: CyclesBefore) -> str | None:
    found = due(triggers, cycles, NOW)
    return None if found is None else found.reason


def test_the_first_cycle_is_due_at_once() -> None:
    assert reason(WEEKLY, before()) == "first cycle"


def test_without_triggers_nothing_is_ever_due() -> None:
    off = Triggers(every=None, new_frauds=None)
    assert reason(off, before()) is None
    assert reason(off, before(90 * DAY_US, frauds=1_000)) is None


@pytest.mark.parametrize(("age_us", "why"), [(7 * DAY_US, "schedule"), (7 * DAY_US - 1, None)])
def test_the_schedule_counts_from_the_last_start(age_us: int, why: str | None) -> None:
    assert reason(WEEKLY, before(30 * DAY_US, age_us)) == why


@pytest.mark.parametrize(("frauds", "why"), [(50, "50 new fraud labels"), (49, None)])
def test_new_frauds_trigger_at_their_number(frauds: int, why: str | None) -> None:
    assert reason(WEEKLY, before(DAY_US, frauds=frauds)) == why


@pytest.mark.parametrize(("age_us", "held"), [(6 * HOUR_US - 1, True), (6 * HOUR_US, False)])
def test_nothing_starts_within_the_hold_down(age_us: int, held: bool) -> None:
    assert (reason(WEEKLY, before(age_us, frauds=10_000)) is None) == held
    alarmed = CyclesBefore(CARD, before(age_us).cycles, alarms=[MISSES])
    assert (due(ALERT, alarmed, NOW) is None) == held


@pytest.mark.parametrize(("oldest_us", "spent"), [(DAY_US - 1, True), (DAY_US, False)])
def test_a_flood_of_labels_cannot_spend_more_than_the_days_budget(oldest_us: int, spent: bool) -> None:
    cycles = before(oldest_us, 12 * HOUR_US, 7 * HOUR_US, frauds=10_000)
    assert (reason(WEEKLY, cycles) is None) == spent


def alarmed(*cycles: tuple[int, str, bool], alarms: tuple[Alarm, ...] = (MISSES,)) -> CyclesBefore:
    """Cycles as (age, trigger, fruitful), oldest first."""
    return CyclesBefore(CARD, [cycle(NOW - age, why, good) for age, why, good in cycles], alarms=alarms)


ROUTINE = (2 * DAY_US, "schedule", False)


def test_an_emergency_says_what_alarms_and_how_much_of_the_budget_it_takes() -> None:
    other = Alarm("misses", "transfer", "30 misses", NOW)
    probes = Alarm("probing", "card", "9 cards", NOW)
    assert due(ALERT, alarmed(ROUTINE, alarms=(MISSES, probes, other)), NOW) == Due(
        "misses", "emergency (1 of 2 in 7d): 23 misses; 30 misses", ("card", "transfer")
    )
    assert due(ALERT, alarmed(ROUTINE, alarms=(probes,)), NOW) == Due(
        "probing", "emergency (1 of 2 in 7d): 9 cards", ("card",)
    )
    assert due(ALERT, alarmed(ROUTINE, alarms=()), NOW) is None


def test_an_alarm_that_a_cycle_has_answered_starts_no_other() -> None:
    answered = Alarm("misses", "card", "23 misses", NOW - 2 * DAY_US)
    assert due(ALERT, alarmed(ROUTINE, alarms=(answered,)), NOW) is None


def test_before_the_first_cycle_nothing_is_an_emergency() -> None:
    never = Triggers(every=None, misses=MissBurst())
    assert due(never, CyclesBefore(CARD, alarms=[MISSES]), NOW) is None


@pytest.mark.parametrize(
    ("cycles", "starts"),
    [
        ([ROUTINE], True),
        ([(6 * DAY_US, "misses", True), ROUTINE], True),
        ([(7 * DAY_US - 1, "misses", True), (5 * DAY_US, "probing", True), ROUTINE], False),
        ([(7 * DAY_US, "misses", True), (5 * DAY_US, "probing", True), ROUTINE], True),
        # In vain once: twice the hold-down; twice in vain: four times.
        ([ROUTINE, (12 * HOUR_US - 1, "misses", False)], False),
        ([ROUTINE, (12 * HOUR_US, "misses", False)], True),
        ([ROUTINE, (6 * HOUR_US, "misses", True)], True),
        # Another cycle that brought something ends the doubling.
        ([(3 * DAY_US, "misses", False), (7 * HOUR_US, "schedule", True)], True),
        # The last place of a day is not for an emergency.
        ([(20 * HOUR_US, "request", False), (7 * HOUR_US, "request", False)], False),
        ([(25 * HOUR_US, "request", False), (7 * HOUR_US, "request", False)], True),
    ],
)
def test_budget_back_off_and_the_last_place_of_a_day(
    cycles: list[tuple[int, str, bool]], starts: bool
) -> None:
    found = due(ALERT, alarmed(*cycles), NOW)
    assert (found is not None and found.trigger == "misses") == starts


def test_emergencies_do_not_move_the_schedule() -> None:
    cycles = alarmed((7 * DAY_US, "schedule", False), (DAY_US, "misses", False))
    assert reason(ALERT, cycles) == "schedule"


def test_back_off_doubles_up_to_its_bound() -> None:
    vain = [cycle(NOW - 30 * DAY_US + i * DAY_US, "misses") for i in range(20)]
    held = [hold_down_us(ALERT, vain[:count]) // HOUR_US for count in range(7)]
    assert held == [6, 12, 24, 48, 72, 72, 72]


moments = st.integers(0, 40 * 24).map(lambda hours: hours * HOUR_US)
alarms_at = st.dictionaries(st.integers(0, 40 * 24), st.sampled_from(EMERGENCIES), max_size=900)
configured = st.builds(
    Triggers,
    every=st.sampled_from([None, DAY_US, 7 * DAY_US]),
    hold_down=st.sampled_from([0, HOUR_US, 6 * HOUR_US]),
    per_day_max=st.integers(2, 6),
    misses=st.just(MissBurst()),
    value_detection=st.just(ValueFall()),
    probing=st.just(True),
    emergencies_max=st.integers(0, 5),
    emergencies_within=st.sampled_from([DAY_US, 3 * DAY_US, 7 * DAY_US]),
    backoff_max=st.sampled_from([HOUR_US, 2 * DAY_US]),
)


@settings(max_examples=40, deadline=None)
@given(
    configured,
    alarms_at,
    st.sets(st.integers(0, 60)),
    st.dictionaries(st.integers(1, 60), st.sampled_from(["failed", "unfinished"]), max_size=40),
)
def test_no_sequence_of_alarms_and_failures_goes_beyond_the_budget_or_starves_the_schedule(
    triggers: Triggers, alarms: dict[int, str], fruitful: set[int], ends: dict[int, CycleEnd]
) -> None:
    cycles = [cycle(0, "first_cycle")]
    for hour in range(1, 40 * 24):
        now_us = hour * HOUR_US
        trigger = alarms.get(hour)
        found = [Alarm(trigger, "card", "", now_us)] if trigger else []
        started = due(triggers, CyclesBefore(CARD, cycles, alarms=found), now_us)
        if started is not None:
            number = len(cycles)
            ended = ends.get(number, "finished")
            cycles.append(cycle(now_us, started.trigger, number in fruitful, ended=ended))
        used = [it.time_us for it in cycles if it.emergency]
        assert sum(now_us - it < triggers.emergencies_within for it in used) <= triggers.emergencies_max
        assert sum(now_us - it.time_us < DAY_US for it in cycles) <= triggers.per_day_max
        budget = budget_of(triggers, cycles, now_us)
        assert budget.used + budget.left <= max(triggers.emergencies_max, budget.used)
    assert all(later.time_us - it.time_us >= triggers.hold_down for it, later in pairwise(cycles))
    if triggers.every is not None:
        planned = [it.time_us for it in cycles if not it.emergency] + [40 * DAY_US]
        latest = triggers.every + triggers.hold_down + HOUR_US
        assert all(later - it <= latest for it, later in pairwise(planned)), "the schedule came in time"


@settings(max_examples=40, deadline=None)
@given(alarms_at)
def test_a_standing_alarm_that_brings_nothing_starts_ever_fewer(alarms: dict[int, str]) -> None:
    many = ALERT.model_copy(update={"emergencies_max": 100, "per_day_max": 100, "every": None})
    cycles = [cycle(0, "first_cycle")]
    for hour in range(1, 40 * 24):
        trigger = alarms.get(hour)
        found = [Alarm(trigger, "card", "", hour * HOUR_US)] if trigger else []
        started = due(many, CyclesBefore(CARD, cycles, alarms=found), hour * HOUR_US)
        if started is not None:
            cycles.append(cycle(hour * HOUR_US, started.trigger))
    gaps = [later.time_us - it.time_us for it, later in pairwise(cycles[1:])]
    least = [min(6 * HOUR_US << (i + 1), many.backoff_max) for i in range(len(gaps))]
    assert all(gap >= bound for gap, bound in zip(gaps, least, strict=True))
    assert len(cycles) <= 1 + 5 + 40 * DAY_US // many.backoff_max


ENDS = pytest.mark.parametrize("ended", ["failed", "unfinished"])


@ENDS
@pytest.mark.parametrize(
    ("ages_h", "again"),
    # The hold-down is six hours; it doubles with each that came to nothing in a row, up to what is planned.
    [([5.99], False), ([6], True), ([18, 11.99], False), ([18, 12], True)],
)
@pytest.mark.parametrize("earlier", [True, False], ids=["schedule", "first"])
def test_what_died_or_failed_is_run_again_after_a_hold_down_that_doubles(
    ended: CycleEnd, ages_h: list[float], again: bool, earlier: bool
) -> None:
    done = [cycle(NOW - 8 * DAY_US)] if earlier else []
    vain = [cycle(NOW - int(age * HOUR_US), ended=ended) for age in ages_h]
    found = due(WEEKLY, CyclesBefore(CARD, done + vain), NOW)
    assert (found is not None) == again
    if found is not None:
        assert found.trigger == ("schedule" if earlier else "first_cycle")
        assert ("failed" if ended == "failed" else "was not finished") in found.reason


def test_a_schedule_that_always_fails_is_tried_ever_less_often_but_no_less_than_planned() -> None:
    cycles: list[CycleStart] = []
    for hour in range(40 * 24):
        if due(WEEKLY, CyclesBefore(CARD, cycles), hour * HOUR_US) is not None:
            cycles.append(cycle(hour * HOUR_US, ended="failed"))
    gaps = [(later.time_us - it.time_us) // HOUR_US for it, later in pairwise(cycles)]
    assert gaps == [6, 12, 24, 48, 96, 168, 168, 168, 168]


@ENDS
def test_new_frauds_that_a_cycle_did_not_learn_from_still_count(ended: CycleEnd) -> None:
    cycles = [cycle(NOW - 2 * DAY_US), cycle(NOW - DAY_US, "new_frauds", ended=ended)]
    asked: list[tuple[str, int]] = []

    def frauds_after(model: str, after_us: int) -> int:
        asked.append((model, after_us))
        return 60

    found = due(WEEKLY, CyclesBefore(CARD, cycles, frauds_after), NOW)
    assert found is not None
    assert found.reason.startswith("60 new fraud labels, again: the cycle of ")
    assert asked == [("card", NOW - 2 * DAY_US)]


def test_frauds_between_the_cut_of_a_request_and_its_cycle_still_count() -> None:
    """Hold-downs and the schedule run from its start."""
    cut_us = NOW - 3 * DAY_US

    def frauds_after(model: str, after_us: int) -> int:
        assert model == "card"
        return 60 if after_us <= cut_us else 0

    for age_us, found in ((6 * HOUR_US, "60 new fraud labels"), (6 * HOUR_US - 1, None)):
        late = cycle(NOW - age_us, "request", cut_us=cut_us)
        assert reason(WEEKLY, CyclesBefore(CARD, [late], frauds_after)) == found
    week = cycle(NOW - 7 * DAY_US + 1, "request", cut_us=NOW - 9 * DAY_US)
    assert reason(WEEKLY, CyclesBefore(CARD, [week])) is None, "the schedule runs from its start, too"


def test_an_alarm_seen_after_the_cut_of_a_request_is_not_answered_by_its_cycle() -> None:
    early = Alarm("misses", "card", "23 misses", NOW - 2 * DAY_US)
    for cut_us, stands in ((NOW - 2 * DAY_US - 1, True), (NOW - 2 * DAY_US, False)):
        last = cycle(NOW - DAY_US, "request", cut_us=cut_us)
        assert (due(ALERT, CyclesBefore(CARD, [last], alarms=[early]), NOW) is not None) == stands


def test_each_model_has_new_frauds_of_its_own() -> None:
    cycles = [cycle(NOW - DAY_US, models=BOTH)]
    frauds = {"card": 10, "transfer": 70}
    found = due(WEEKLY, CyclesBefore(BOTH, cycles, lambda model, _: frauds[model]), NOW)
    assert found == Due("new_frauds", "70 new fraud labels", ("transfer",))


@ENDS
def test_an_alarm_stands_until_a_cycle_has_trained_the_model(ended: CycleEnd) -> None:
    early = Alarm("misses", "card", "23 misses", NOW - 2 * DAY_US)
    for last, stands in (
        (cycle(NOW - DAY_US, "misses", ended=ended), True),
        (cycle(NOW - DAY_US, "misses", trained=False), True),
        (cycle(NOW - DAY_US, "misses", models=("transfer",)), True),
        (cycle(NOW - DAY_US, "misses"), False),
    ):
        found = due(
            ALERT, CyclesBefore(BOTH, [cycle(0, models=BOTH), ROUTINE_OF_BOTH, last], alarms=[early]), NOW
        )
        assert (found is not None) == stands, last
        if found is not None:
            assert (found.trigger, found.models) == ("misses", CARD)


ROUTINE_OF_BOTH = cycle(NOW - 3 * DAY_US, models=BOTH)


@ENDS
def test_an_emergency_that_came_to_nothing_is_run_again_within_its_budget_though_nothing_alarms(
    ended: CycleEnd,
) -> None:
    cycles = [ROUTINE_OF_BOTH, cycle(NOW - 12 * HOUR_US, "probing", ended=ended)]
    found = due(ALERT, CyclesBefore(BOTH, cycles), NOW)
    assert found is not None
    assert (found.trigger, found.models) == ("probing", CARD)
    assert found.reason.startswith("emergency (2 of 2 in 7d): card: again, that of ")
    assert due(ALERT, CyclesBefore(BOTH, cycles), NOW - 1) is None, "in vain once: twice the hold-down"
    spent = [ROUTINE_OF_BOTH, cycle(NOW - 2 * DAY_US, "misses"), cycles[-1]]
    assert due(ALERT, CyclesBefore(BOTH, spent), NOW) is None
    off = ALERT.model_copy(update={"probing": False})
    assert due(off, CyclesBefore(BOTH, cycles), NOW) is None, "somebody has switched it off since"


def test_each_model_has_a_schedule_of_its_own() -> None:
    cycles = [cycle(NOW - 8 * DAY_US, models=BOTH), cycle(NOW - 3 * DAY_US, "request", models=CARD)]
    assert due(WEEKLY, CyclesBefore(BOTH, cycles), NOW) == Due("schedule", "schedule", ("transfer",))
    new = due(WEEKLY, CyclesBefore((*BOTH, "wire"), cycles), NOW)
    assert new == Due("first_cycle", "first cycle", ("wire",)), "a model that no cycle was ever for"
