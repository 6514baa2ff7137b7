"""Probation: after a promotion the former champion stays in shadow, and may come back by itself.

    Promoted        … probation_us                   (how long; left out: none)
    ProbationEnded  model version evidence            (it passed; `evidence` as in RolledBack)
    RolledBack      … probation                       (it did not; what showed it)

A probation begins with the promotion of one version over another and ends with
the next champion, whoever made it one, or when nothing more can be learned:
its payments have matured. Only the last one of a model can be on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fraud.errors import NotAllowedNow
from fraud.registry.chain import LedgerEntry
from fraud.registry.upkeep import vacuumed_by

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState

ACTOR = "probation"
"""Who rolls back, and ends a probation, by itself."""
Result = Literal["", "passed", "rolled back", "overtaken"]


@dataclass(slots=True)
class Probation:
    """One probation: the champion, the one before it, and the span in which both score, µs UTC.

    `seq` is the entry of the promotion, `result` "" while it is on.
    """

    model: str
    version: str
    former: str
    since_us: int
    until_us: int
    seq: int
    result: Result = ""
    ended_seq: int = 0
    ended_us: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)


def begin(state: "RegistryState", entry: LedgerEntry) -> None:
    """Begin the probation that a Promoted asks for; without a former champion there is none."""
    body = entry.body
    length_us = body.get("probation_us", 0)
    if length_us and body["expected"]:
        until_us = entry.time_us + length_us
        probation = Probation(
            body["model"], body["version"], body["expected"], entry.time_us, until_us, entry.seq
        )
        state.probations.setdefault(body["model"], []).append(probation)


def end(state: "RegistryState", model: str, result: Result, entry: LedgerEntry) -> None:
    """End the probation that is on, if one is."""
    for probation in state.probations.get(model, ())[-1:]:
        if not probation.result:
            probation.result, probation.ended_seq, probation.ended_us = result, entry.seq, entry.time_us
            probation.evidence = entry.body.get("probation") or entry.body.get("evidence") or {}


def probation_of(state: "RegistryState", model: str) -> Probation | None:
    """Return the probation that is on and could still end in a rollback, None for none."""
    for probation in state.probations.get(model, ())[-1:]:
        former = state.versions[probation.former]
        barred = state.tainted_by(former.version) or vacuumed_by(state, former)
        if not probation.result and not barred:
            return probation
    return None


def _ended(state: "RegistryState", entry: LedgerEntry) -> None:
    body = entry.body
    probations = state.probations.get(body["model"], ())
    if not probations or probations[-1].result or probations[-1].version != body["version"]:
        raise NotAllowedNow(f"{body['version']} is not on probation; there is nothing to end")
    end(state, body["model"], "passed", entry)


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {"ProbationEnded": _ended}
