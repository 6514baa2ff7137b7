"""What the registry knows, as a fold over its ledger.

    entry  seq · time · kind · actor · reason · body · hash of the entry before · own hash

    VersionRegistered  version model recipe digest parent attempt challengers cut_position
                       cut_time_us manifest
    VerdictGiven       version model verdict way against report
    Promoted           model version expected          (the champion until here, "" for none)
    VersionDropped     version why                     (a pending challenger is superseded)
    RetrainRequested   model cut_position cut_time_us trigger      (model "": every model)
    CycleStarted       request_seq models
    CycleFinished      request_seq verdicts seconds
    CycleFailed        request_seq error

One function per kind in `FOLDS` checks an entry against the state and then
changes it; nothing is changed by an entry that is refused. A new kind is one
more function. The store applies an entry before it writes it, inside the
write transaction, so everything that stands in a ledger folds.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from fraud.errors import Conflict, Damaged, InvalidInput, NotAllowedNow, NotFound, StaleHead
from fraud.registry.chain import GENESIS_HASH, LedgerEntry

Status = Literal["challenger", "champion", "former champion", "rejected", "superseded"]
VERDICTS = ("PROMOTE", "REJECT", "INCONCLUSIVE")
_NAME = re.compile(r"(?P<model>[a-z][a-z0-9_]*)-[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer about a version. `report` is its JSON, one row per check."""

    seq: int
    time_us: int
    verdict: str
    way: str
    against: str
    report: dict[str, Any]


@dataclass(slots=True)
class VersionState:
    """One version as the ledger knows it."""

    version: str
    model: str
    recipe: str
    digest: str
    parent: str
    attempt: int
    challengers: int
    cut_position: int
    cut_time_us: int
    manifest: dict[str, Any]
    created_us: int
    created_seq: int
    status: Status = "challenger"
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """The last verdict, "" before the first."""
        return self.verdicts[-1].verdict if self.verdicts else ""


@dataclass(slots=True)
class RequestState:
    """A retrain asked for, and what became of it; `verdicts` are those of `CycleFinished`."""

    seq: int
    time_us: int
    model: str
    trigger: str
    cut_position: int
    cut_time_us: int
    actor: str
    reason: str
    state: Literal["WAITING", "RUNNING", "FINISHED", "FAILED"] = "WAITING"
    error: str = ""
    verdicts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reign:
    """A champion from its promotion, entry `seq`, to the next one's."""

    version: str
    since_us: int
    seq: int


class RegistryState:
    """The fold: versions, champions, attempts and requests up to entry `seq`."""

    def __init__(self) -> None:
        self.seq = 0
        self.time_us = 0
        self.last_hash = GENESIS_HASH
        self.versions: dict[str, VersionState] = {}
        self._reigns: dict[str, list[Reign]] = {}
        self._attempts: dict[str, set[int]] = {}
        self._requests: dict[int, RequestState] = {}
        self.cycles_us: list[int] = []

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
        try:
            take(self, entry)
        except KeyError as error:
            raise InvalidInput(f"body.{error.args[0]}", f"is missing in a {entry.kind}", "give it") from error
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

    def reign(self, model: str) -> Reign | None:
        """Return the present champion with the entry that promoted it, None for none."""
        reigns = self._reigns.get(model)
        return reigns[-1] if reigns else None

    def version_of(self, digest: str) -> str:
        """Return the newest version with a bundle's digest, "" for none."""
        names = [name for name, version in self.versions.items() if version.digest == digest]
        return names[-1] if names else ""

    def champion_since_us(self, model: str) -> int:
        """Return when the present champion was promoted, µs UTC; 0 for none."""
        reigns = self._reigns.get(model)
        return reigns[-1].since_us if reigns else 0

    def attempts(self, model: str) -> int:
        """Return how many attempts (groups of challengers) were made against the present champion."""
        return len(self._attempts.get(model, ()))

    def pending(self, model: str) -> list[VersionState]:
        """Return the challengers that may still be promoted, oldest first.

        One whose last verdict is PROMOTE is among them: the process died before
        it was promoted, and the next cycle judges it again.
        """
        return [
            version
            for version in self.versions.values()
            if version.model == model and version.status == "challenger"
        ]

    def next_version(self, model: str) -> str:
        """Return the name of the next version of a model, e.g. "card-8"."""
        numbers = [int(name.rpartition("-")[2]) for name, it in self.versions.items() if it.model == model]
        return f"{model}-{max(numbers, default=0) + 1}"

    def requests(self) -> list[RequestState]:
        """Return the retrains asked for, oldest first."""
        return list(self._requests.values())

    def request(self, seq: int) -> RequestState:
        """Return the retrain asked for in entry `seq`.

        Raises:
            NotFound: that entry asks for none.
        """
        found = self._requests.get(seq)
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
        manifest=body["manifest"],
        created_us=entry.time_us,
        created_seq=entry.seq,
    )
    state.versions[version] = known
    state._attempts.setdefault(model, set()).add(known.attempt)


def _verdict_given(state: RegistryState, entry: LedgerEntry) -> None:
    body = entry.body
    version = state.version(body["version"])
    if body["verdict"] not in VERDICTS:
        raise InvalidInput(
            "body.verdict", f"{body['verdict']!r} is no verdict", f"give one of {', '.join(VERDICTS)}"
        )
    verdict = Verdict(entry.seq, entry.time_us, body["verdict"], body["way"], body["against"], body["report"])
    version.verdicts.append(verdict)
    if version.status in ("challenger", "rejected"):
        version.status = "rejected" if verdict.verdict == "REJECT" else "challenger"


def _promoted(state: RegistryState, entry: LedgerEntry) -> None:
    body = entry.body
    model, expected = body["model"], body["expected"]
    version = state.version(body["version"])
    champion = state.champion(model)
    if champion != expected:
        raise StaleHead(
            f"{version.version} was to follow {expected or 'no champion'}, but the champion of {model!r} "
            f"is {champion or 'none'}; look again and decide again"
        )
    if version.model != model or version.status in ("champion", "rejected", "superseded"):
        raise NotAllowedNow(
            f"{version.version} is {version.status} of model {version.model!r} and cannot be promoted for "
            f"{model!r}; choose a challenger or a former champion"
        )
    if champion:
        state.versions[champion].status = "former champion"
    version.status = "champion"
    state._reigns.setdefault(model, []).append(Reign(version.version, entry.time_us, entry.seq))
    state._attempts[model] = set()


def _dropped(state: RegistryState, entry: LedgerEntry) -> None:
    version = state.version(entry.body["version"])
    if version.status not in ("challenger", "superseded"):
        raise NotAllowedNow(f"{version.version} is {version.status}; only a challenger can be dropped")
    version.status = "superseded"


def _requested(state: RegistryState, entry: LedgerEntry) -> None:
    body = entry.body
    state._requests[entry.seq] = RequestState(
        entry.seq,
        entry.time_us,
        body["model"],
        body["trigger"],
        body["cut_position"],
        body["cut_time_us"],
        entry.actor,
        entry.reason,
    )


def _cycle_started(state: RegistryState, entry: LedgerEntry) -> None:
    request = _request_of(state, entry)
    state.cycles_us.append(entry.time_us)
    if request is not None:
        request.state = "RUNNING"


def _cycle_finished(state: RegistryState, entry: LedgerEntry) -> None:
    verdicts = entry.body["verdicts"]
    request = _request_of(state, entry)
    if request is not None:
        request.state, request.verdicts = "FINISHED", list(verdicts)


def _cycle_failed(state: RegistryState, entry: LedgerEntry) -> None:
    error = entry.body["error"]
    request = _request_of(state, entry)
    if request is not None:
        request.state, request.error = "FAILED", error


def _request_of(state: RegistryState, entry: LedgerEntry) -> RequestState | None:
    """Return the request that a cycle answers; None for a cycle that started by itself."""
    seq = entry.body["request_seq"]
    return None if seq is None else state.request(seq)


FOLDS: dict[str, Callable[[RegistryState, LedgerEntry], None]] = {
    "VersionRegistered": _registered,
    "VerdictGiven": _verdict_given,
    "Promoted": _promoted,
    "VersionDropped": _dropped,
    "RetrainRequested": _requested,
    "CycleStarted": _cycle_started,
    "CycleFinished": _cycle_finished,
    "CycleFailed": _cycle_failed,
}
