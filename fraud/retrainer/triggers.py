"""When a retrain starts by itself, and when it must not.

    requested by hand   → at once (it is on the ledger, with a name)
    schedule, new frauds → after the hold-down, within the day's budget

Hold-down and budget stand between an opponent and our training: labels that a
fraudster can provoke must not make us train on demand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fraud.clock import DAY_US
from fraud.settings.learning import Triggers


@dataclass(frozen=True, slots=True)
class CyclesBefore:
    """When cycles started, µs UTC, oldest first; and what has come in since the last."""

    started_us: Sequence[int]
    frauds_since: int


def due(triggers: Triggers, before: CyclesBefore, now_us: int) -> str | None:
    """Return why a retrain is due, in words, or None.

    The very first cycle is due as soon as anything is: there is no model yet.

    >>> due(Triggers(every="7d"), CyclesBefore((), 0), 5)
    'first cycle'
    """
    if triggers.every is None and triggers.new_frauds is None:
        return None
    if not before.started_us:
        return "first cycle"
    since_us = now_us - before.started_us[-1]
    if since_us < triggers.hold_down:
        return None
    today = sum(now_us - started < DAY_US for started in before.started_us)
    if today >= triggers.per_day_max:
        return None
    if triggers.every is not None and since_us >= triggers.every:
        return "schedule"
    if triggers.new_frauds is not None and before.frauds_since >= triggers.new_frauds:
        return f"{before.frauds_since} new fraud labels"
    return None
