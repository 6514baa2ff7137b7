"""Where a version comes from, as the ledger tells it: data, labels, ancestors, and who decided what."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fraud.clock import format_time
from fraud.labels.exclusions import Exclusion
from fraud.registry.chain import LedgerEntry
from fraud.registry.ledger import RegistryState
from fraud.registry.version import VersionState
from fraud.serving.repair_steps import described

Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class LabelGiver:
    """What one submitter of one source contributed to the rows a version learned from."""

    source: str
    submitter: str
    batches: int
    labels: int
    frauds: int
    fraud_share: float
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Taint:
    """An exclusion in force whose data the version learned from."""

    seq: int
    what: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the ledger that names a version."""

    seq: int
    time: str
    kind: str
    actor: str
    reason: str


def label_givers(batches: Sequence[Mapping[str, Any]]) -> list[LabelGiver]:
    """Sum a manifest's label batches by source and submitter, most frauds first."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for batch in batches:
        groups.setdefault((batch["source"], batch["submitter"]), []).append(batch)
    frauds = sum(batch["frauds"] for batch in batches)
    found = [
        LabelGiver(
            source,
            submitter,
            len(own),
            sum(batch["labels"] for batch in own),
            sum(batch["frauds"] for batch in own),
            sum(batch["frauds"] for batch in own) / frauds if frauds else float("nan"),
            format_time(min(batch["arrival_us"][0] for batch in own)),
            format_time(max(batch["arrival_us"][1] for batch in own)),
        )
        for (source, submitter), own in groups.items()
    ]
    return sorted(found, key=lambda giver: (-giver.frauds, -giver.labels, giver.source, giver.submitter))


def data_facts(manifest: Mapping[str, Any]) -> Rows:
    """Say what a version was trained on: spans of time, rows, places in the log, what was hidden."""
    cut, rows = manifest["cut"], manifest["rows"]
    facts = [("known", f"up to position {cut['position']:,} of the log, {format_time(cut['time_us'])}")]
    facts += [
        (name.removesuffix("_us"), f"events from {format_time(span[0])} to {format_time(span[1])}")
        for name, span in manifest["spans"].items()
        if name.endswith("_us")
    ]
    facts += [(f"positions, {name}", f"{first:,} to {last:,}") for name, (first, last) in _ends(manifest)]
    facts += [(f"rows, {name.replace('_', ' ')}", f"{number:,}") for name, number in rows.items()]
    hidden = [described(Exclusion.from_dict(each)) for each in manifest["exclusions"]]
    facts += [
        ("excluded", "; ".join(hidden) or "nothing"),
        ("judged by", _judged_by(manifest.get("apart"))),
        ("label-fed features", ", ".join(manifest["label_fed_features"]) or "none"),
        ("effective sample size", f"{manifest.get('effective_sample_size', float('nan')):,.0f}"),
        ("recipe", f"{manifest.get('recipe', '')}: {spelled_values(manifest.get('parameters', {}))}"),
        ("seed", str(manifest.get("seed", ""))),
        ("libraries", spelled_values(manifest.get("libraries", {}))),
        ("note", manifest.get("note", "")),
    ]
    return [(name, text) for name, text in facts if text]


def _judged_by(apart: Mapping[str, Any] | None) -> str:
    """Say who judged a version while verdicts were fresh; "" where time alone parted the two.

    >>> _judged_by({"entity": "card", "share": 0.3})
    '30% of card, set apart'
    >>> _judged_by({"entity": "card", "share": 1.0, "folds": 3})
    'every card, each by a booster fitted without its fold of 3'
    """
    if apart is None:
        return ""
    if apart.get("folds"):
        return f"every {apart['entity']}, each by a booster fitted without its fold of {apart['folds']}"
    return f"{apart['share']:.0%} of {apart['entity']}, set apart"


def _ends(manifest: Mapping[str, Any]) -> list[tuple[str, tuple[int, int]]]:
    return [(name, (int(first), int(last))) for name, (first, last) in manifest["positions"].items()]


def spelled_values(values: Mapping[str, Any]) -> str:
    """Spell names with their values, in one line.

    >>> spelled_values({"share": 0.04, "kind": "full", "left_out": None})
    'share 0.04, kind full'
    """
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in values.items()
        if value is not None
    )


def ancestors(state: RegistryState, version: VersionState) -> list[str]:
    """Return the versions that a version continues, nearest first."""
    found: list[str] = []
    while version.parent and version.parent not in found:
        found.append(version.parent)
        version = state.version(version.parent)
    return found


def descendants(state: RegistryState, version: str) -> list[str]:
    """Return the versions that continue a version, directly or not, oldest first."""
    family = {version}
    for each in state.versions.values():
        if each.parent in family:
            family.add(each.version)
    return [name for name in state.versions if name in family - {version}]


def taints(state: RegistryState, version: str) -> list[Taint]:
    """Return the exclusions that taint a version."""
    found = [state.exclusion(seq) for seq in state.tainted_by(version)]
    return [Taint(it.seq, described(it.data), it.actor, it.reason) for it in found]


def timeline(entries: Sequence[LedgerEntry], version: str) -> list[Event]:
    """Return what the ledger says of a version, oldest first."""
    found = []
    for entry in entries:
        if version not in (entry.body.get("version"), entry.body.get("expected")):
            continue
        kind = entry.kind
        if entry.body.get("version") != version:
            kind = f"{kind} ({entry.body.get('version') or 'none'} follows)"
        if entry.body.get("override"):
            kind = f"{kind} by override: {entry.body['overridden']}"
        if entry.kind == "VerdictGiven":
            kind = f"{entry.kind}: {entry.body['verdict']}"
        found.append(Event(entry.seq, format_time(entry.time_us), kind, entry.actor, entry.reason))
    return found
