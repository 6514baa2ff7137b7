"""When a retrain starts by itself, and when it must not.

    requested by hand      → at once (it is on the ledger, with a name)
    schedule, new frauds   → after the hold-down, within the day's budget
    misses, value, probing → an emergency: the same, and within a budget of its own

Hold-down and budgets stand between an opponent and our training: what a fraudster can
provoke must not make us train on demand.

Who can move which trigger, and what it gains him
    misses            whoever gets frauds confirmed by a trusted source: real victims, false disputes of
                      cards he holds, a bought analyst. Votes are per cluster of cards, one submitter's
                      share is bounded, what the guard finds odd does not count (`misses`, `trusting`).
    value_detection   the same people, with large amounts; the interval is by cluster, so a few weigh little,
                      and it has to fall without any one submitter as well (`value`).
    probing           anybody with cards: payments need no label. Off unless it is switched on.
At most he gains `emergencies_max` retrains in `emergencies_within`, less when they bring no promotion,
since the hold-down doubles each time. A retrain by itself changes nothing: the guard judges the data before
it, the gate what comes of it. No emergency takes a place of the schedule: that has its own clock, goes first
when both are due, and the last place of a day is kept for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fraud.clock import DAY_US, HOUR_US
from fraud.registry.cycles import CycleStart
from fraud.settings.durations import format_duration
from fraud.settings.triggers import Triggers


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why a model should be retrained now: one of `fraud.registry.cycles.EMERGENCIES`, in words.

    `seen_us` is when it was seen; a cycle that started since has answered it.
    """

    trigger: str
    model: str
    reason: str
    seen_us: int


@dataclass(frozen=True, slots=True)
class CyclesBefore:
    """The cycles so far, oldest first; what has come in since the last, and what alarms now."""

    cycles: Sequence[CycleStart]
    frauds_since: int = 0
    alarms: Sequence[Alarm] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A retrain that is due: its trigger, why in words, and of which models (none: all)."""

    trigger: str
    reason: str
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What emergencies have used and may use yet; the next may start at `from_us` at the earliest, µs UTC."""

    used: int
    left: int
    from_us: int


def due(triggers: Triggers, before: CyclesBefore, now_us: int) -> Due | None:
    """Return the retrain that is due, or None; the schedule goes before any emergency.

    The very first cycle is due as soon as anything is: there is no model yet.

    >>> due(Triggers(every="7d"), CyclesBefore(()), 5)
    Due(trigger='first_cycle', reason='first cycle', models=())
    """
    routine = triggers.every is not None or triggers.new_frauds is not None
    if not before.cycles:
        return Due("first_cycle", "first cycle") if routine else None
    last_us = before.cycles[-1].time_us
    today = sum(now_us - it.time_us < DAY_US for it in before.cycles)
    if now_us - last_us < triggers.hold_down or today >= triggers.per_day_max:
        return None
    planned_us = max((it.time_us for it in before.cycles if not it.emergency), default=0)
    if triggers.every is not None and now_us - planned_us >= triggers.every:
        return Due("schedule", "schedule")
    if triggers.new_frauds is not None and before.frauds_since >= triggers.new_frauds:
        return Due("new_frauds", f"{before.frauds_since} new fraud labels")
    return _emergency(triggers, before, now_us, today)


def _emergency(triggers: Triggers, before: CyclesBefore, now_us: int, today: int) -> Due | None:
    """Return the emergency that may start; the last place of a day is not for it."""
    last_us = before.cycles[-1].time_us
    fresh = [it for it in before.alarms if it.seen_us > last_us]
    budget = budget_of(triggers, before.cycles, now_us)
    if not fresh or not budget.left or now_us < budget.from_us or today + 1 >= triggers.per_day_max:
        return None
    trigger = fresh[0].trigger
    chosen = [it for it in fresh if it.trigger == trigger]
    reasons = "; ".join(it.reason for it in chosen)
    of = f"{budget.used + 1} of {triggers.emergencies_max} in {format_duration(triggers.emergencies_within)}"
    return Due(trigger, f"emergency ({of}): {reasons}", tuple(dict.fromkeys(it.model for it in chosen)))


def budget_of(triggers: Triggers, cycles: Sequence[CycleStart], now_us: int) -> Budget:
    """Return what is left of the budget of emergencies at a moment, µs UTC."""
    emergencies = [it for it in cycles if it.emergency]
    used = sum(now_us - it.time_us < triggers.emergencies_within for it in emergencies)
    left = max(0, triggers.emergencies_max - used) if triggers.emergencies else 0
    from_us = cycles[-1].time_us + triggers.hold_down if cycles else 0
    if emergencies:
        from_us = max(from_us, emergencies[-1].time_us + hold_down_us(triggers, cycles))
    if not left and emergencies and triggers.emergencies:
        # One of the budget comes back when the oldest that fills it is far enough behind.
        from_us = max(from_us, emergencies[-triggers.emergencies_max].time_us + triggers.emergencies_within)
    return Budget(used, left, from_us)


def hold_down_us(triggers: Triggers, cycles: Sequence[CycleStart]) -> int:
    """Return the least time between two emergencies: it doubles with each since anything passed the gate."""
    vain = 0
    for cycle in reversed(cycles):
        if cycle.fruitful:
            break
        vain += cycle.emergency
    if not vain:
        return triggers.hold_down
    # Doubling a few times is enough to reach any bound.
    doubled = max(triggers.hold_down, HOUR_US) << min(vain, 32)
    return max(triggers.hold_down, min(doubled, triggers.backoff_max))
