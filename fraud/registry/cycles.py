"""Retrains in the ledger: asked for, started, and how they ended.

    RetrainRequested   model cut_position cut_time_us trigger      (model "": every model)
                       and where it applies: guard_overrides, exclusion
    CycleStarted       request_seq models
                       and where it applies: trigger
    CycleFinished      request_seq verdicts seconds
    CycleFailed        request_seq error

`request_seq` is None for a cycle that a trigger started; `trigger` is one of `TRIGGERS`, of
`EMERGENCIES` for an emergency retrain. Entries of older releases have none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fraud.registry.chain import LedgerEntry
from fraud.registry.version import RequestState

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState

EMERGENCIES: Final = ("misses", "value_detection", "probing")
"""Triggers of emergency retrains, which have a budget of their own."""
REQUEST: Final = "request"
TRIGGERS: Final = (REQUEST, "first_cycle", "schedule", "new_frauds", *EMERGENCIES)
"""Whatever starts a cycle."""


@dataclass(slots=True)
class CycleStart:
    """One cycle: when it started, µs UTC, and why. `fruitful`: the gate let a challenger pass in it.

    `trigger` is one of `TRIGGERS`, "" where an older release did not say; `reason` is for people.
    """

    time_us: int
    trigger: str = ""
    reason: str = ""
    fruitful: bool = False

    @property
    def emergency(self) -> bool:
        """Tell whether it counts against the budget of emergencies."""
        return self.trigger in EMERGENCIES


def _requested(state: "RegistryState", entry: LedgerEntry) -> None:
    body = entry.body
    state.requested[entry.seq] = RequestState(
        entry.seq,
        entry.time_us,
        body["model"],
        body["trigger"],
        body["cut_position"],
        body["cut_time_us"],
        entry.actor,
        entry.reason,
        guard_overrides=tuple(body.get("guard_overrides", ())),
        exclusion=body.get("exclusion", 0),
    )


def _cycle_started(state: "RegistryState", entry: LedgerEntry) -> None:
    request = _request_of(state, entry)
    trigger = entry.body.get("trigger", REQUEST if request is not None else "")
    state.cycles.append(CycleStart(entry.time_us, trigger, entry.reason))
    state.cycle_runs = True
    if request is not None:
        request.state = "RUNNING"


def note_verdict(state: "RegistryState", verdict: str) -> None:
    """Take note of a verdict: a cycle in which the gate lets a challenger pass was not in vain."""
    if state.cycle_runs and verdict == "PROMOTE":
        state.cycles[-1].fruitful = True


def _cycle_finished(state: "RegistryState", entry: LedgerEntry) -> None:
    verdicts = entry.body["verdicts"]
    request = _request_of(state, entry)
    state.cycle_runs = False
    if request is not None:
        request.state, request.verdicts = "FINISHED", list(verdicts)
        request.finished_us = entry.time_us


def _cycle_failed(state: "RegistryState", entry: LedgerEntry) -> None:
    error = entry.body["error"]
    request = _request_of(state, entry)
    state.cycle_runs = False
    if request is not None:
        request.state, request.error = "FAILED", error
        request.finished_us = entry.time_us


def _request_of(state: "RegistryState", entry: LedgerEntry) -> RequestState | None:
    """Return the request that a cycle answers; None for a cycle that started by itself."""
    seq = entry.body["request_seq"]
    return None if seq is None else state.request(seq)


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {
    "RetrainRequested": _requested,
    "CycleStarted": _cycle_started,
    "CycleFinished": _cycle_finished,
    "CycleFailed": _cycle_failed,
}
