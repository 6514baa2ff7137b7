"""How far the repair after an exclusion has come: a pure function of both logs.

    recorded ─► rolled back | rollback refused | kept, each model with a tainted champion ─► in force
             ─► retrain requested ─► retrained | not trained | retrain failed
             and once it is undone: undone

What a step was waiting for when the exclusion was undone is left out.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from fraud.clock import format_time
from fraud.labels.exclusions import FOREVER_US, Exclusion, View
from fraud.records import Entry
from fraud.registry.chain import LedgerEntry
from fraud.registry.cycles import untrained
from fraud.registry.exclusions import ExclusionState
from fraud.registry.ledger import RegistryState
from fraud.serving.service_record import applied_of
from fraud.v1.models_pb2 import RepairStep


def repair_steps(
    exclusion: ExclusionState,
    state: RegistryState,
    applied: Sequence[Entry],
    ledger: Mapping[int, LedgerEntry],
    *,
    models: Collection[str],
    kept: AbstractSet[str],
    promotions_serve: bool,
) -> list[RepairStep]:
    """Return the steps of one exclusion's repair, in order, done or to come.

    `applied` are all Applied entries of the event log, oldest first; `ledger`
    holds the entries that crowned since the exclusion, by number; `models` are those
    that are configured: nobody rolls back another one's champion; `kept` are the
    champions that serve although tainted, until a clean version is promoted;
    `promotions_serve` tells whether the scorer has followed all of them.
    """
    text = f"ledger entry {exclusion.seq}"
    steps = [RepairStep(step="recorded", done=True, time_us=exclusion.time_us, text=text)]
    if not exclusion.muted:
        steps += _rolled_back(exclusion, state, applied, ledger, models, kept)
    steps.append(_in_force(exclusion, applied))
    if exclusion.retrain:
        steps += _retrained(exclusion, state, promotions_serve=promotions_serve)
    if exclusion.in_force:
        return steps
    return [*(step for step in steps if step.done), _undone(exclusion, state, applied)]


def crowning_seqs(state: RegistryState, models: Sequence[str]) -> list[int]:
    """Return the ledger entries that changed a champion since the first exclusion."""
    since = min(state.exclusions, default=state.seq + 1)
    return [reign.seq for model in models for reign in state.reigns(model) if reign.seq >= since]


def _rolled_back(
    exclusion: ExclusionState,
    state: RegistryState,
    applied: Sequence[Entry],
    ledger: Mapping[int, LedgerEntry],
    models: Collection[str],
    kept: AbstractSet[str],
) -> Iterator[RepairStep]:
    repaired = [
        entry
        for entry in ledger.values()
        if entry.kind == "RolledBack" and entry.body["exclusion"] == exclusion.seq
    ]
    for asked in repaired:
        body = asked.body
        step = RepairStep(
            step="rolled back",
            text=f"{body['model']}: {body['expected']} → {body['version'] or 'no champion'}",
        )
        entry = _first(applied, asked.seq, body["model"])
        if entry is not None:
            step.done, step.time_us = True, entry.arrival_time_us
            refused = applied_of(entry).refused
            if refused:
                step.step, step.text = "rollback refused", f"{step.text}: {refused}"
        yield step
    serving = (it for it in list(state.versions.values()) if it.model in models and it.status == "champion")
    for champion in sorted({it.version for it in serving}):
        if exclusion.seq not in state.tainted_by(champion):
            continue
        if champion in kept:
            text = f"{champion} is tainted and serves on, for there is no clean one to go back to"
            yield RepairStep(step="kept", done=True, time_us=exclusion.time_us, text=text)
        else:
            yield RepairStep(step="rolled back", text=f"{champion} is tainted and serves")


def _first(applied: Sequence[Entry], seq: int, model: str) -> Entry | None:
    """Return the first entry that put a ledger entry, or a later one of the model, into effect."""
    for entry in applied:
        event = applied_of(entry)
        if event.model == model and event.ledger_seq >= seq:
            return entry
    return None


def _in_force(exclusion: ExclusionState, applied: Sequence[Entry]) -> RepairStep:
    step = RepairStep(step="in force", text="the feature state counts without it")
    for entry in applied:
        event = applied_of(entry)
        if event.ledger_seq >= exclusion.seq and _hides(event.label_view, exclusion.data):
            step.done, step.time_us = True, entry.arrival_time_us
            return step
    if applied and _hides(applied_of(applied[-1]).label_view, exclusion.data):
        # Another exclusion had hidden the same before.
        step.done, step.time_us = True, exclusion.time_us
    return step


def also_hidden_by(exclusion: ExclusionState, state: RegistryState) -> tuple[list[int], bool]:
    """Return the other exclusions in force that keep its data out, and whether each keeps out all of it.

    Those that may hide some of it are left out where there are such.
    """
    data = exclusion.data
    others = [it for it in list(state.exclusions.values()) if it.in_force and it.seq != exclusion.seq]
    whole = [it.seq for it in others if it.data.covers(data)]
    return whole or [it.seq for it in others if it.data.overlaps(data)], bool(whole)


def _undone(exclusion: ExclusionState, state: RegistryState, applied: Sequence[Entry]) -> RepairStep:
    step = RepairStep(step="undone", text=f"ledger entry {exclusion.undone_seq}")
    others, whole = also_hidden_by(exclusion, state)
    if others:
        named = ", ".join(map(str, others))
        step.text += f"; exclusion {named} {'hides all' if whole else 'may hide some'} of it still"
    if exclusion.data in state.view().exclusions:
        step.done = True
        return step
    for entry in applied:
        event = applied_of(entry)
        if event.ledger_seq >= exclusion.undone_seq and not _hides(event.label_view, exclusion.data):
            step.done, step.time_us = True, entry.arrival_time_us
            return step
    # Undone before it was in force: nothing has to change, so nothing will be applied.
    step.done = not (applied and _hides(applied_of(applied[-1]).label_view, exclusion.data))
    return step


def _hides(label_view: str, data: Exclusion) -> bool:
    return data in View.from_text(label_view).exclusions


def _retrained(
    exclusion: ExclusionState, state: RegistryState, *, promotions_serve: bool
) -> Iterator[RepairStep]:
    request = next((it for it in state.requests() if it.exclusion == exclusion.seq), None)
    requested = RepairStep(step="retrain requested", done=request is not None)
    if request is not None:
        requested.time_us, requested.text = request.time_us, f"ledger entry {request.seq}"
    yield requested
    ended = RepairStep(step="retrained")
    if request is None:
        ended.text = "waits for the steps before"
    elif request.state == "FAILED":
        ended.step, ended.done, ended.text = "retrain failed", True, request.error
    elif request.state == "FINISHED":
        ended.done = promotions_serve
        if untrained(request.verdicts):
            ended.step = "not trained"
        verdicts = [
            f"{it['model']}: {it['version'] or 'no version'} {it['verdict']}" for it in request.verdicts
        ]
        ended.text = ", ".join(verdicts) or "no version came of it"
    else:
        ended.text = "runs" if request.state == "RUNNING" else "waits for the retrainer"
    if ended.done:
        ended.time_us = request.finished_us if request is not None else 0
    yield ended


def described(data: Exclusion) -> str:
    """Say for people what an exclusion cuts out.

    >>> described(Exclusion("labels", source="analyst", from_us=86_400_000_000))
    'labels of source analyst from 1970-01-02T00:00:00Z'
    """
    named = [("batch", data.batch_id), ("source", data.source), ("submitter", data.submitter)]
    chosen = " and ".join(f"{name} {value}" for name, value in named if value)
    where = " and ".join(f"{entity} is number {surrogate}" for entity, surrogate in data.where)
    parts = [
        data.what,
        f"of {chosen}" if chosen else "",
        f"from {format_time(data.from_us)}" if data.from_us else "",
        f"to {format_time(data.to_us)}" if data.to_us < FOREVER_US else "",
        f"where {where}" if where else "",
    ]
    return " ".join(part for part in parts if part)
