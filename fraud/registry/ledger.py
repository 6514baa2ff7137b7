"""What the registry knows, as a fold over its ledger.

    entry  seq · time · kind · actor · reason · body · hash of the entry before · own hash

    VersionRegistered  version model recipe digest parent attempt challengers cut_position
                       cut_time_us manifest
    VerdictGiven       version model verdict way against report
                       evidence (cut and view it was read from), unreadable; older releases: none
    Promoted           model version expected          (the champion until here, "" for none)
                       and where it applies: verdict, override, overridden (see `fraud.registry.approval`)
    VersionDropped     version why                     (a pending challenger is superseded)
    RetrainRequested, Cycle…           see `fraud.registry.cycles`
    GuardReported                      see `fraud.registry.guard_reports`
    SentinelAdded, SentinelRetired     see `fraud.registry.sentinels`

    DataExcluded, ExclusionUndone, RolledBack: see `fraud.registry.exclusions`
    Vacuumed, EntityErased                     see `fraud.registry.upkeep`
    ExplorationSwitched                        see `fraud.registry.exploration`
    AttackConfirmed, AttackEnded               see `fraud.registry.attacks`
    RulesSet                                   see `fraud.registry.rules`
    ProbationEnded                             see `fraud.registry.probation`
    Asked                                      see `fraud.registry.second_person`

One function per kind in `FOLDS` checks an entry against the state and then
changes it; nothing is changed by an entry that is refused. A new kind is one
more function. The store applies an entry before it writes it, inside the
write transaction, so everything that stands in a ledger folds.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Self

from fraud.documents import Packed
from fraud.errors import Conflict, Damaged, InvalidInput, NotAllowedNow, NotFound
from fraud.labels.exclusions import EVERYTHING, View
from fraud.registry.approval import check_verdict
from fraud.registry.attacks import FOLDS as ATTACK_FOLDS
from fraud.registry.attacks import Attack
from fraud.registry.attempts import attempts_made
from fraud.registry.chain import GENESIS_HASH, LedgerEntry
from fraud.registry.cycles import FOLDS as CYCLE_FOLDS
from fraud.registry.cycles import CycleStart, note_registered, note_verdict
from fraud.registry.exclusions import (
    ExclusionState,
    check_clean,
    check_expected,
    data_excluded,
    exclusion_undone,
    found_exclusion,
    note_version,
    rolled_back,
)
from fraud.registry.exploration import FOLDS as EXPLORATION_FOLDS
from fraud.registry.guard_reports import GuardReport, guard_reported
from fraud.registry.manifests import Batches, PackedManifest
from fraud.registry.probation import FOLDS as PROBATION_FOLDS
from fraud.registry.probation import Probation, begin, end
from fraud.registry.rules import FOLDS as RULES_FOLDS
from fraud.registry.rules import RulesEntry
from fraud.registry.second_person import FOLDS as SECOND_PERSON_FOLDS
from fraud.registry.second_person import Asked, check_second
from fraud.registry.sentinels import FOLDS as SENTINEL_FOLDS
from fraud.registry.sentinels import SentinelSet
from fraud.registry.upkeep import FOLDS as UPKEEP_FOLDS
from fraud.registry.upkeep import check_kept
from fraud.registry.version import Reign, RequestState, Verdict, VersionState

VERDICTS = ("PROMOTE", "REJECT", "INCONCLUSIVE")
_NAME = re.compile(r"(?P<model>[a-z][a-z0-9_]*)-[1-9][0-9]*")


class RegistryState:
    """The fold: versions, champions, attempts and requests up to entry `seq`.

    One thread folds at a time; others may read meanwhile, so what walks over everything walks over a copy.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.time_us = 0
        self.last_hash = GENESIS_HASH
        self.versions: dict[str, VersionState] = {}
        self.batches = Batches()
        self._reigns: dict[str, list[Reign]] = {}
        self.requested: dict[int, RequestState] = {}
        self.cycles: list[CycleStart] = []
        self.cycle_runs = False
        self.sentinels: dict[tuple[str, str], SentinelSet] = {}
        self.retired_sentinels: dict[tuple[str, str], SentinelSet] = {}
        self.exclusions: dict[int, ExclusionState] = {}
        self.guard_reports: dict[str, GuardReport] = {}
        self.vacuumed: dict[str, int] = {}
        self.erased: dict[tuple[str, int], LedgerEntry] = {}
        self.exploration_switches: dict[str, LedgerEntry] = {}
        self.attacks: dict[int, Attack] = {}
        self.probations: dict[str, list[Probation]] = {}
        self.rule_sets: dict[str, list[RulesEntry]] = {}
        self.asked: dict[int, Asked] = {}

    @classmethod
    def fold(cls, entries: Iterable[LedgerEntry]) -> Self:
        """Return the state after the entries, which start at seq 1 and leave none out.

        Raises:
            Damaged: an entry is missing, or of a kind this release does not know.
        """
        state = cls()
        for entry in entries:
            state.apply(entry)
        return state

    def apply(self, entry: LedgerEntry) -> None:
        """Take one more entry; on any error the state is as before.

        Raises:
            Damaged: not the next entry, or an unknown kind.
            InvalidInput: its body lacks a field.
            NotAllowedNow, StaleHead, NotFound, Conflict: the state does not permit it.
        """
        if entry.seq != self.seq + 1 or entry.previous_hash != self.last_hash:
            raise Damaged(
                f"ledger entry {entry.seq} does not follow entry {self.seq}; restore the ledger from a copy"
            )
        take = FOLDS.get(entry.kind)
        if take is None:
            raise Damaged(
                f"ledger entry {entry.seq} is of kind {entry.kind!r}, which this release does not know; "
                "upgrade to read it"
            )
        carried_out = check_second(self, entry)
        try:
            take(self, entry)
        except KeyError as error:
            raise InvalidInput(f"body.{error.args[0]}", f"is missing in a {entry.kind}", "give it") from error
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise InvalidInput(
                "body", f"is none of a {entry.kind} ({error})", "give what its kind has"
            ) from error
        if carried_out is not None:
            carried_out.done_seq = entry.seq
        self.seq, self.time_us, self.last_hash = entry.seq, entry.time_us, entry.hash

    def version(self, version: str) -> VersionState:
        """Return one version.

        Raises:
            NotFound: it was never registered.
        """
        found = self.versions.get(version)
        if found is None:
            raise NotFound(f"version {version!r} is not in the ledger; 'fraud versions' lists those that are")
        return found

    def champion(self, model: str) -> str:
        """Return the champion that the ledger intends now, "" for none."""
        reigns = self._reigns.get(model)
        return reigns[-1].version if reigns else ""

    def champion_at(self, model: str, time_us: int) -> str:
        """Return the champion intended at a moment, µs UTC; "" for none."""
        for reign in reversed(self._reigns.get(model, [])):
            if reign.since_us <= time_us:
                return reign.version
        return ""

    def reigns(self, model: str) -> list[Reign]:
        """Return every champion of a model in order, each with the entry that made it one."""
        return list(self._reigns.get(model, ()))

    def crown(self, model: str, version: str, entry: LedgerEntry) -> None:
        """Make `version` ("" for none) the champion."""
        champion = self.champion(model)
        if champion:
            self.versions[champion].status = "former champion"
        if version:
            self.versions[version].status = "champion"
        self._reigns.setdefault(model, []).append(Reign(version, entry.time_us, entry.seq))
        end(self, model, "rolled back" if entry.kind == "RolledBack" else "overtaken", entry)

    def exclusion(self, seq: int) -> ExclusionState:
        """Return the exclusion made in entry `seq`.

        Raises:
            NotFound: that entry excludes nothing.
        """
        return found_exclusion(self.exclusions, seq)

    def explores(self, model: str) -> bool:
        """Tell whether a model may explore: nobody has switched it off, or somebody on again."""
        switch = self.exploration_switches.get(model)
        return switch is None or bool(switch.body["on"])

    def view(self) -> View:
        """Return what counts now: everything that no exclusion in force hides."""
        return View(tuple(it.data for it in list(self.exclusions.values()) if it.in_force))

    def tainted_by(self, version: str) -> tuple[int, ...]:
        """Return the exclusions in force whose data a version learned from; none: it is clean."""
        return tuple(
            it.seq
            for it in list(self.exclusions.values())
            if it.in_force and not it.muted and version in it.touched
        )

    def clean_champions(self, model: str) -> list[str]:
        """Return the former champions of a model that are clean, the last one first."""
        champion = self.champion(model)
        versions = [reign.version for reign in reversed(self._reigns.get(model, []))]
        return [
            version
            for version in dict.fromkeys(versions)
            if version not in ("", champion) and not self.tainted_by(version)
        ]

    def repairs_due(self) -> list[ExclusionState]:
        """Return the exclusions in force that want a retrain nobody has asked for yet."""
        asked = {request.exclusion for request in list(self.requested.values())}
        return [
            it for it in list(self.exclusions.values()) if it.in_force and it.retrain and it.seq not in asked
        ]

    @property
    def view_seq(self) -> int:
        """The entry that last changed what counts, 0 for none."""
        seqs = [seq for it in list(self.exclusions.values()) for seq in (it.seq, it.undone_seq)]
        return max(seqs, default=0)

    def reign(self, model: str) -> Reign | None:
        """Return the present champion with the entry that promoted it, None for none."""
        reigns = self._reigns.get(model)
        return reigns[-1] if reigns else None

    def version_of(self, digest: str) -> str:
        """Return the newest version with a bundle's digest, "" for none."""
        names = [name for name, version in list(self.versions.items()) if version.digest == digest]
        return names[-1] if names else ""

    def attempts(self, model: str, since_us: int = 0) -> int:
        """Return how many attempts count against the present champion (`fraud.registry.attempts`).

        Those whose cut lies before `since_us` do not.
        """
        return attempts_made(self, model, since_us)

    def pending(self, model: str) -> list[VersionState]:
        """Return the challengers that may still be promoted, oldest first; tainted ones may not.

        One whose last verdict is PROMOTE is among them: the process died before
        it was promoted, and the next cycle judges it again.
        """
        return [
            version
            for version in list(self.versions.values())
            if version.model == model
            and version.status == "challenger"
            and not self.tainted_by(version.version)
        ]

    def next_version(self, model: str) -> str:
        """Return the name of the next version of a model, e.g. "card-8"."""
        numbers = [
            int(name.rpartition("-")[2]) for name, it in list(self.versions.items()) if it.model == model
        ]
        return f"{model}-{max(numbers, default=0) + 1}"

    def requests(self) -> list[RequestState]:
        """Return the retrains asked for, oldest first."""
        return list(self.requested.values())

    def request(self, seq: int) -> RequestState:
        """Return the retrain asked for in entry `seq`.

        Raises:
            NotFound: that entry asks for none.
        """
        found = self.requested.get(seq)
        if found is None:
            raise NotFound(
                f"ledger entry {seq} is no retrain request; TriggerRetrain returns the number of one"
            )
        return found


def _registered(state: RegistryState, entry: LedgerEntry) -> None:
    body = entry.body
    version, model = body["version"], body["model"]
    name = _NAME.fullmatch(version)
    if name is None or name["model"] != model:
        raise InvalidInput(
            "body.version", f"{version!r} is no version of {model!r}", f"name it like '{model}-8'"
        )
    if version in state.versions:
        raise Conflict(f"version {version!r} is registered already; take next_version()")
    note_registered(state)
    known = VersionState(
        version=version,
        model=model,
        recipe=body["recipe"],
        digest=body["digest"],
        parent=body["parent"],
        attempt=body["attempt"],
        challengers=body["challengers"],
        cut_position=body["cut_position"],
        cut_time_us=body["cut_time_us"],
        packed_manifest=PackedManifest.of(body["manifest"], state.batches),
        created_us=entry.time_us,
        created_seq=entry.seq,
    )
    note_version(state, known, body["manifest"])
    state.versions[version] = known


def _verdict_given(state: RegistryState, entry: LedgerEntry) -> None:
    body = entry.body
    version = state.version(body["version"])
    if body["verdict"] not in VERDICTS:
        raise InvalidInput(
            "body.verdict", f"{body['verdict']!r} is no verdict", f"give one of {', '.join(VERDICTS)}"
        )
    report = Packed.of(body["report"])
    evidence, unreadable = _evidence(body.get("evidence")), body.get("unreadable", "")
    said = body["verdict"], body["way"], body["against"]
    verdict = Verdict(entry.seq, entry.time_us, *said, report, *evidence, unreadable)
    version.verdicts.append(verdict)
    note_verdict(state, verdict.verdict)
    if version.status in ("challenger", "rejected"):
        version.status = "rejected" if verdict.verdict == "REJECT" else "challenger"


def _evidence(said: dict[str, Any] | None) -> tuple[View, int | None]:
    """Return through which view a verdict was read, and up to which position."""
    if said is None:
        return EVERYTHING, None
    position = said["cut"]["position"]
    if not isinstance(position, int):
        raise TypeError("the position of its cut is no number")
    return _view_of(said["view"]), position


@lru_cache(maxsize=64)
def _view_of(text: str) -> View:
    """Read a view; the verdicts of many cycles have one in common."""
    return View.from_text(text)


def _promoted(state: RegistryState, entry: LedgerEntry) -> None:
    body = entry.body
    model, expected = body["model"], body["expected"]
    version = state.version(body["version"])
    check_expected(state, model, version.version, expected)
    barred = ("champion",) if body.get("override") else ("champion", "rejected", "superseded")
    if version.model != model or version.status in barred:
        raise NotAllowedNow(
            f"{version.version} is {version.status} of model {version.model!r} and cannot be promoted for "
            f"{model!r}; choose a challenger or a former champion"
        )
    check_clean(state, version.version)
    check_kept(state, version.version)
    if "verdict" in body:
        check_verdict(state, version, body["verdict"])
    state.crown(model, version.version, entry)
    begin(state, entry)


def _dropped(state: RegistryState, entry: LedgerEntry) -> None:
    version = state.version(entry.body["version"])
    if version.status not in ("challenger", "superseded"):
        raise NotAllowedNow(f"{version.version} is {version.status}; only a challenger can be dropped")
    version.status = "superseded"


FOLDS: dict[str, Callable[[RegistryState, LedgerEntry], None]] = {
    "VersionRegistered": _registered,
    "VerdictGiven": _verdict_given,
    "Promoted": _promoted,
    "VersionDropped": _dropped,
    **CYCLE_FOLDS,
    **SENTINEL_FOLDS,
    **UPKEEP_FOLDS,
    **EXPLORATION_FOLDS,
    **ATTACK_FOLDS,
    **RULES_FOLDS,
    **PROBATION_FOLDS,
    **SECOND_PERSON_FOLDS,
    "DataExcluded": data_excluded,
    "ExclusionUndone": exclusion_undone,
    "RolledBack": rolled_back,
    "GuardReported": guard_reported,
}
