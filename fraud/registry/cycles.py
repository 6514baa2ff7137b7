"""Retrains in the ledger: asked for, started, and how they ended.

    RetrainRequested   model cut_position cut_time_us trigger      (model "": every model)
                       and where it applies: guard_overrides, exclusion
    CycleStarted       request_seq models
    CycleFinished      request_seq verdicts seconds
    CycleFailed        request_seq error

`request_seq` is None for a cycle that a trigger started.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fraud.registry.chain import LedgerEntry
from fraud.registry.version import RequestState

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState


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
    state.cycles_us.append(entry.time_us)
    if request is not None:
        request.state = "RUNNING"


def _cycle_finished(state: "RegistryState", entry: LedgerEntry) -> None:
    verdicts = entry.body["verdicts"]
    request = _request_of(state, entry)
    if request is not None:
        request.state, request.verdicts = "FINISHED", list(verdicts)
        request.finished_us = entry.time_us


def _cycle_failed(state: "RegistryState", entry: LedgerEntry) -> None:
    error = entry.body["error"]
    request = _request_of(state, entry)
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
