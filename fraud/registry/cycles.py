"""Retrains in the ledger: asked for, started, and how they ended.

    RetrainRequested   model cut_position cut_time_us trigger      (model "": every model)
                       and where it applies: guard_overrides, exclusion
    CycleStarted       request_seq models
                       and where it applies: trigger
    CycleFinished      request_seq verdicts seconds trained      (older releases: without `trained`)
    CycleFailed        request_seq error
                       and where it applies: stopped        (the process was told to stop in it)

`request_seq` is None for a cycle that a trigger started; `trigger` is one of `TRIGGERS`, of
`EMERGENCIES` for an emergency retrain. Entries of older releases have none.

A start that nothing follows is a cycle that runs, or that died. The request of a dead cycle is taken up
again, until its cycles have died too often (`fraud.retrainer.daemon`); what a trigger started counts as not
done, so the trigger stays due (`fraud.retrainer.triggers`).

A cycle that was stopped before it made a version counts as one that never started: it takes no place in any
budget, and what it was started for is run at the next start of the retrainer. One that had made a version
counts as failed, or restarts would make attempts without a hold-down. Either is no death, and the request of
either waits again. An older release takes both for failed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from fraud.registry.chain import LedgerEntry
from fraud.registry.version import RequestState

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState

EMERGENCIES: Final = ("misses", "value_detection", "probing")
"""Triggers of emergency retrains, which have a budget of their own."""
REQUEST: Final = "request"
TRIGGERS: Final = (REQUEST, "first_cycle", "schedule", "new_frauds", *EMERGENCIES)
"""Whatever starts a cycle."""
CycleEnd = Literal["unfinished", "finished", "failed"]
_UNTRAINED: Final = ("FROZEN", "NOT TRAINED")
"""What a cycle says of a model in place of a verdict, when the guard froze it or a recipe gave nothing."""


def untrained(verdicts: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the models that a cycle was through with and made no version of; `verdicts` as it ended with.

    >>> untrained([{"model": "card", "verdict": "FROZEN"}, {"model": "wallet", "verdict": "REJECT"}])
    {'card'}
    """
    said: dict[str, set[str]] = {}
    for each in verdicts:
        said.setdefault(each["model"], set()).add(each["verdict"])
    return {model for model, words in said.items() if words.issubset(_UNTRAINED)}


@dataclass(slots=True)
class CycleStart:
    """One cycle: when it started, µs UTC, why, of which models, and how it ended.

    `cut_us` is the moment up to which it learned, µs UTC: that of the request it answers, `request_seq`,
    or that of its start.
    `trigger` is one of `TRIGGERS`, "" where an older release did not say; `reason` is for people.
    `fruitful`: the gate let a challenger pass in it. `ended` is "unfinished" while it runs and when it
    died. `trained` are its models of which a version was made, once it has finished; `registered`: some was,
    ended or not.
    """

    time_us: int
    cut_us: int
    trigger: str = ""
    reason: str = ""
    fruitful: bool = False
    models: tuple[str, ...] = ()
    ended: CycleEnd = "unfinished"
    trained: tuple[str, ...] = ()
    request_seq: int | None = None
    registered: bool = False

    @property
    def emergency(self) -> bool:
        """Tell whether it counts against the budget of emergencies."""
        return self.trigger in EMERGENCIES


def trained_us(cycles: Sequence[CycleStart], model: str) -> int:
    """Return up to when the last cycle learned that has trained a model, µs UTC; 0 for none."""
    return next((it.cut_us for it in reversed(cycles) if model in it.trained), 0)


def deaths_of(cycles: Sequence[CycleStart], request_seq: int) -> int:
    """Return how many cycles of a request have not ended; while none runs, each of them died."""
    return sum(it.request_seq == request_seq and it.ended == "unfinished" for it in cycles)


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
    models = tuple(entry.body["models"])
    cycle = CycleStart(entry.time_us, entry.time_us, trigger, entry.reason, models=models)
    state.cycles.append(cycle)
    state.cycle_runs = True
    if request is not None:
        request.state = "RUNNING"
        cycle.cut_us, cycle.request_seq = request.cut_time_us, request.seq


def note_registered(state: "RegistryState") -> None:
    """Take note of a version: the cycle that made it has left something behind, however it ends."""
    if state.cycle_runs:
        state.cycles[-1].registered = True


def note_verdict(state: "RegistryState", verdict: str) -> None:
    """Take note of a verdict: a cycle in which the gate lets a challenger pass was not in vain."""
    if state.cycle_runs and verdict == "PROMOTE":
        state.cycles[-1].fruitful = True


def _cycle_finished(state: "RegistryState", entry: LedgerEntry) -> None:
    verdicts = entry.body["verdicts"]
    request = _request_of(state, entry)
    _end(state, "finished", verdicts, entry.body.get("trained"))
    if request is not None:
        request.state, request.verdicts = "FINISHED", list(verdicts)
        request.finished_us = entry.time_us


def _cycle_failed(state: "RegistryState", entry: LedgerEntry) -> None:
    error = entry.body["error"]
    request = _request_of(state, entry)
    if entry.body.get("stopped"):
        _stop(state)
        if request is not None:
            request.state = "WAITING"
        return
    _end(state, "failed", (), ())
    if request is not None:
        request.state, request.error = "FAILED", error
        request.finished_us = entry.time_us


def _stop(state: "RegistryState") -> None:
    """Take back the start of the cycle that ran, unless it has left a version behind."""
    if state.cycle_runs and state.cycles[-1].registered:
        _end(state, "failed", (), ())
    elif state.cycle_runs:
        state.cycles.pop()
        state.cycle_runs = False


def _end(
    state: "RegistryState",
    ended: CycleEnd,
    verdicts: Sequence[Mapping[str, Any]],
    trained: Sequence[str] | None,
) -> None:
    """Note how the cycle that ran has ended, and which of its models were `trained` in it.

    An older release does not say: those are models of which something else is said than that they were not.
    """
    if not state.cycle_runs:
        return
    cycle = state.cycles[-1]
    state.cycle_runs, cycle.ended = False, ended
    if trained is None:
        without = untrained(verdicts)
        trained = [it for it in cycle.models if it not in without]
    if ended == "finished":
        cycle.trained = tuple(it for it in cycle.models if it in trained)


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
