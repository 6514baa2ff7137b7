"""When a retrain starts by itself, and when it must not.

    requested by hand      → at once (it is on the ledger, with a name)
    schedule, new frauds   → after the hold-down, within the day's budget
    misses, value, probing → an emergency: the same, and within a budget of its own

Since when is asked of each model: only a cycle that finished has kept an appointment of the schedule or
counted new frauds, and only one that trained the model has answered an alarm about it. So what a cycle that
died or failed was started for is due again, after a hold-down that doubles each time.

Hold-down and budgets stand between an opponent and our training: what a fraudster can
provoke must not make us train on demand.

Who can move which trigger, and what it gains him
    new_frauds        whoever may hand in labels, of any source. Off unless a number is set; bounded by the
                      hold-down and the day's places, of which it may take the last.
    misses            whoever gets frauds confirmed by a trusted source: real victims, false disputes of
                      cards he holds, bought analysts. Votes are per cluster of cards, the share of those who
                      gave few before is bounded, what the guard finds odd does not count (`misses`,
                      `trusting`).
    value_detection   the same people with large amounts, and any desk by its word on what was held back; the
                      interval is by cluster, so a few weigh little, and it has to fall without any one
                      submitter, or a few, as well (`value`).
    probing           anybody with cards: payments need no label. Off unless it is switched on.
At most he gains `emergencies_max` retrains in `emergencies_within`, less when they bring no promotion,
since the hold-down doubles each time. A retrain by itself changes nothing: the guard judges the data before
it, the gate what comes of it. No emergency takes a place of the schedule: that has its own clock, goes first
when both are due, and the last place of a day is kept for it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from fraud.clock import DAY_US, HOUR_US, format_time
from fraud.registry.cycles import CycleStart, trained_us
from fraud.settings.durations import format_duration
from fraud.settings.triggers import Triggers


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why a model should be retrained now: one of `fraud.registry.cycles.EMERGENCIES`, in words.

    `seen_us` is when it was seen; a cycle that learned up to then and trained the model has answered it.
    """

    trigger: str
    model: str
    reason: str
    seen_us: int


def _no_frauds(model: str, after_us: int) -> int:
    del model, after_us
    return 0


@dataclass(frozen=True, slots=True)
class CyclesBefore:
    """The models, the cycles so far, oldest first, frauds that have come in, and what alarms now.

    `frauds_after` returns how many frauds of a model became known after a moment, µs UTC.
    """

    models: Sequence[str]
    cycles: Sequence[CycleStart] = ()
    frauds_after: Callable[[str, int], int] = _no_frauds
    alarms: Sequence[Alarm] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A retrain that is due: its trigger, why in words, and of which models."""

    trigger: str
    reason: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tries:
    """When the last cycle started that counts, None for none, and the later ones that came to nothing.

    Those died or failed; the newest is the first. `cut_us` is the moment up to which the one that counts
    learned, 0 for none.
    """

    done_us: int | None
    cut_us: int
    vain: tuple[CycleStart, ...]

    @classmethod
    def of(cls, cycles: Iterable[CycleStart]) -> Self:
        """Go through cycles, newest first, down to the first that finished."""
        vain: list[CycleStart] = []
        for cycle in cycles:
            if cycle.ended == "finished":
                return cls(cycle.time_us, cycle.cut_us, tuple(vain))
            vain.append(cycle)
        return cls(None, 0, tuple(vain))

    @property
    def told(self) -> str:
        """Why it is tried again, in words; "" when it is not."""
        return f", again: the cycle of {_ended(self.vain[0])}" if self.vain else ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What emergencies have used and may use yet; the next may start at `from_us` at the earliest, µs UTC."""

    used: int
    left: int
    from_us: int


def due(triggers: Triggers, before: CyclesBefore, now_us: int) -> Due | None:
    """Return the retrain that is due, or None; the schedule goes before any emergency.

    The very first cycle is due as soon as anything is: there is no model yet.

    >>> due(Triggers(every="7d"), CyclesBefore(["card"]), 5)
    Due(trigger='first_cycle', reason='first cycle', models=('card',))
    """
    if before.cycles and now_us - before.cycles[-1].time_us < triggers.hold_down:
        return None
    today = sum(now_us - it.time_us < DAY_US for it in before.cycles)
    if today >= triggers.per_day_max:
        return None
    return _routine(triggers, before, now_us) or _emergency(triggers, before, now_us, today)


def _routine(triggers: Triggers, before: CyclesBefore, now_us: int) -> Due | None:
    """Return what schedule or new frauds want, of the models that want it."""
    wanted: dict[str, dict[str, str]] = {}
    for model in before.models:
        found = _wanted(triggers, before, model, now_us)
        if found is not None:
            wanted.setdefault(found[0], {})[model] = found[1]
    for trigger in ("first_cycle", "schedule", "new_frauds"):
        if trigger in wanted:
            reasons = dict.fromkeys(wanted[trigger].values())
            return Due(trigger, "; ".join(reasons), tuple(wanted[trigger]))
    return None


def _wanted(triggers: Triggers, before: CyclesBefore, model: str, now_us: int) -> tuple[str, str] | None:
    """Return the trigger that wants a model trained, and why; None for none."""
    tries = Tries.of(_of(before, model))
    held = _held(triggers, tries, now_us)
    if tries.done_us is None and (triggers.every is not None or triggers.new_frauds is not None):
        return None if held else ("first_cycle", f"first cycle{tries.told}")
    if triggers.every is not None:
        planned = Tries.of(it for it in _of(before, model) if not it.emergency)
        is_due = now_us - (planned.done_us or 0) >= triggers.every
        if is_due and not _held(triggers, planned, now_us):
            return "schedule", f"schedule{planned.told}"
    if triggers.new_frauds is not None and not held:
        frauds = before.frauds_after(model, tries.cut_us)
        if frauds >= triggers.new_frauds:
            return "new_frauds", f"{frauds} new fraud labels{tries.told}"
    return None


def _of(before: CyclesBefore, model: str) -> Iterator[CycleStart]:
    """Return the cycles of a model, newest first."""
    return (it for it in reversed(before.cycles) if model in it.models)


def _held(triggers: Triggers, tries: Tries, now_us: int) -> bool:
    """Tell whether a cycle that came to nothing may not be run again yet: the hold-down, then doubled.

    What fails is never tried less often than it is planned.
    """
    if not tries.vain:
        return False
    wait_us = _doubled_us(triggers, len(tries.vain) - 1)
    if triggers.every is not None:
        wait_us = min(triggers.every, wait_us)
    return now_us - tries.vain[0].time_us < wait_us


def _emergency(triggers: Triggers, before: CyclesBefore, now_us: int, today: int) -> Due | None:
    """Return the emergency that may start; the last place of a day is not for it."""
    if not before.cycles:
        return None
    fresh = [it for it in before.alarms if it.seen_us > trained_us(before.cycles, it.model)]
    fresh += _broken_off(triggers, before)
    budget = budget_of(triggers, before.cycles, now_us)
    if not fresh or not budget.left or now_us < budget.from_us or today + 1 >= triggers.per_day_max:
        return None
    trigger = fresh[0].trigger
    chosen = [it for it in fresh if it.trigger == trigger]
    reasons = "; ".join(it.reason for it in chosen)
    of = f"{budget.used + 1} of {triggers.emergencies_max} in {format_duration(triggers.emergencies_within)}"
    return Due(trigger, f"emergency ({of}): {reasons}", tuple(dict.fromkeys(it.model for it in chosen)))


def _broken_off(triggers: Triggers, before: CyclesBefore) -> Iterator[Alarm]:
    """Return emergencies that died or failed as alarms: what raised one may have left the days looked at."""
    for model in before.models:
        vain = Tries.of(_of(before, model)).vain
        last = next((it for it in vain if it.trigger in triggers.emergencies_wanted), None)
        if last is not None:
            yield Alarm(last.trigger, model, f"{model}: again, that of {_ended(last)}", last.time_us)


def _ended(cycle: CycleStart) -> str:
    how = "failed" if cycle.ended == "failed" else "was not finished"
    return f"{format_time(cycle.time_us)} {how}"


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
    return _doubled_us(triggers, vain) if vain else triggers.hold_down


def _doubled_us(triggers: Triggers, times: int) -> int:
    """Return the hold-down, of an hour at least, doubled so many times within its bound."""
    # Doubling a few times is enough to reach any bound.
    doubled = max(triggers.hold_down, HOUR_US) << min(times, 32)
    return max(triggers.hold_down, min(doubled, triggers.backoff_max))
