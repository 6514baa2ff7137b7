"""Data cut out of training, which versions learned from it, and what serves instead.

    DataExcluded     exclusion first_position labels transactions muted retrain
    ExclusionUndone  exclusion                          (the entry that excluded)
    RolledBack       model version expected before_us exclusion mute
                     (`exclusion`: the entry it repairs, 0 for none; `mute`: null, or the body of a
                     DataExcluded that takes force with it)

A version is tainted by an exclusion in force when what it was trained from,
as its manifest states it, holds any of the data, or when it continues a tainted
one. The manifest is enough to tell, so taint is a fold like everything else:
nothing is marked, and undoing an exclusion makes clean again.

An exclusion that only mutes holds labels back until somebody has reviewed
them; it condemns no version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fraud.errors import NotAllowedNow, NotFound, StaleHead
from fraud.labels.exclusions import Exclusion
from fraud.registry.chain import LedgerEntry
from fraud.registry.upkeep import check_kept

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState
    from fraud.registry.version import VersionState


@dataclass(slots=True)
class ExclusionState:
    """One exclusion as the ledger knows it, made in entry `seq`.

    `first_position` is that of the first of the data in the event log, or where
    it would come next; `touched` are the versions that learned from the data.
    """

    seq: int
    time_us: int
    actor: str
    reason: str
    data: Exclusion
    first_position: int
    labels: int
    transactions: int
    muted: bool
    retrain: bool
    undone_seq: int = 0
    touched: set[str] = field(default_factory=set)

    @property
    def in_force(self) -> bool:
        """True until it is undone."""
        return self.undone_seq == 0


def learned_from(manifest: Mapping[str, Any], data: Exclusion, first_position: int) -> bool:
    """Tell whether a version with this manifest learned from data that first stands at a position.

    Labels are learned from directly, on rows that were fitted or calibrated on,
    or through label-fed features of such rows that came later in the log;
    transactions as rows, or through any feature of a later row.
    """
    if any(Exclusion.from_dict(hidden).covers(data) for hidden in manifest["exclusions"]):
        return False
    positions = manifest["positions"]
    if data.what == "transactions":
        return first_position <= int(positions["traffic"][1])
    used = any(
        data.overlaps_batch(batch["batch_id"], batch["source"], batch["submitter"], *batch["arrival_us"])
        for batch in manifest["label_batches"]
    )
    return used or fed_features(manifest, first_position)


def fed_features(manifest: Mapping[str, Any], first_position: int) -> bool:
    """Tell whether labels that first stand at a position may be in the features of what was learned from."""
    last = max(int(manifest["positions"][span][1]) for span in ("train", "calibration"))
    return bool(manifest["label_fed_features"]) and first_position < last


def note_version(state: "RegistryState", version: "VersionState", manifest: Mapping[str, Any]) -> None:
    """Note for a new version, of this manifest, which exclusions touch it."""
    touching = [
        exclusion
        for exclusion in state.exclusions.values()
        if version.parent in exclusion.touched
        or learned_from(manifest, exclusion.data, exclusion.first_position)
    ]
    for exclusion in touching:
        exclusion.touched.add(version.version)


def data_excluded(state: "RegistryState", entry: LedgerEntry) -> None:
    """Take a DataExcluded."""
    _take_exclusion(state, entry, entry.body)


def _take_exclusion(state: "RegistryState", entry: LedgerEntry, body: Mapping[str, Any]) -> None:
    exclusion = ExclusionState(
        entry.seq,
        entry.time_us,
        entry.actor,
        entry.reason,
        Exclusion.from_dict(body["exclusion"]),
        body["first_position"],
        body["labels"],
        body["transactions"],
        body["muted"],
        body["retrain"],
    )
    exclusion.touched |= touched_by(state, exclusion.data, exclusion.first_position)
    state.exclusions[entry.seq] = exclusion


def touched_by(state: "RegistryState", data: Exclusion, first_position: int) -> set[str]:
    """Return the versions that learned from data, descendants by continued training included.

    A version whose cut lies before the data cannot have; its manifest, which may be long, is not looked at.
    """
    touched: set[str] = set()
    # In order of registration, so a parent comes before what continues it.
    for version in list(state.versions.values()):  # It may grow meanwhile.
        after = first_position <= version.cut_position
        if version.parent in touched or (after and learned_from(version.manifest, data, first_position)):
            touched.add(version.version)
    return touched


def exclusion_undone(state: "RegistryState", entry: LedgerEntry) -> None:
    """Take an ExclusionUndone."""
    exclusion = state.exclusion(entry.body["exclusion"])
    check_in_force(exclusion)
    exclusion.undone_seq = entry.seq


def check_in_force(exclusion: ExclusionState) -> None:
    """Refuse an exclusion that is in force no more.

    Raises:
        NotAllowedNow: it was undone before.
    """
    if not exclusion.in_force:
        raise NotAllowedNow(f"exclusion {exclusion.seq} was undone before, by entry {exclusion.undone_seq}")


def rolled_back(state: "RegistryState", entry: LedgerEntry) -> None:
    """Take a RolledBack: a former champion serves again, or ("") none does."""
    body = entry.body
    model, version, expected = body["model"], body["version"], body["expected"]
    check_expected(state, model, version or "no champion", expected)
    if version == expected:
        raise NotAllowedNow(f"{version or 'no version'} is the champion of {model!r} already")
    if version:
        known = state.version(version)
        if known.model != model or known.status != "former champion":
            raise NotAllowedNow(
                f"{version} is {known.status} of model {known.model!r}; a rollback of {model!r} goes to one "
                "of its former champions, see 'fraud history'"
            )
        check_clean(state, version)
        check_kept(state, version)
    if body["mute"] is not None:
        _take_exclusion(state, entry, body["mute"])
    state.crown(model, version, entry)


def check_expected(state: "RegistryState", model: str, follower: str, expected: str) -> None:
    """Compare the champion with the one that was expected.

    Raises:
        StaleHead: it is another one by now.
    """
    champion = state.champion(model)
    if champion != expected:
        raise StaleHead(
            f"{follower} was to follow {expected or 'no champion'}, but the champion of {model!r} "
            f"is {champion or 'none'}; look again and decide again"
        )


def check_clean(state: "RegistryState", version: str) -> None:
    """Refuse a tainted version.

    Raises:
        NotAllowedNow: it is tainted; the message says by which exclusions.
    """
    seqs = state.tainted_by(version)
    if seqs:
        listed = ", ".join(map(str, seqs))
        raise NotAllowedNow(
            f"{version} is tainted: it learned from data that exclusion {listed} cuts out; choose a clean "
            "version, retrain, or undo the exclusion ('fraud exclude --undo')"
        )


def found_exclusion(exclusions: Mapping[int, ExclusionState], seq: int) -> ExclusionState:
    """Return one exclusion.

    Raises:
        NotFound: that entry excludes nothing.
    """
    found = exclusions.get(seq)
    if found is None:
        raise NotFound(f"ledger entry {seq} is no exclusion; 'fraud exclude --list' shows those there are")
    return found
