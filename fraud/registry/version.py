"""What the ledger knows of one version, one champion's reign, one retrain asked for."""

from dataclasses import dataclass, field
from typing import Any, Literal

from fraud.documents import Packed
from fraud.labels.exclusions import EVERYTHING, View
from fraud.registry.manifests import PackedManifest

Status = Literal["challenger", "champion", "former champion", "rejected", "superseded"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer about a version.

    It was read from what `view` left to see, up to position `cut_position` of the event log. Where its
    entry does not say (an older release), it counts as read from everything there is: it then stands
    only while nothing is excluded. `unreadable` says why the champion `against` could not be scored, so
    that the version had to reach the floors of a first one; "" where it could, or was none.
    """

    seq: int
    time_us: int
    verdict: str
    way: str
    against: str
    packed_report: Packed
    view: View = EVERYTHING
    cut_position: int | None = None
    unreadable: str = ""

    @property
    def report(self) -> dict[str, Any]:
        """Its report, one row per check; decoded anew at every look."""
        report: dict[str, Any] = self.packed_report.value()
        return report


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
    packed_manifest: PackedManifest
    created_us: int
    created_seq: int
    status: Status = "challenger"
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def manifest(self) -> dict[str, Any]:
        """From what it was trained (`fraud.bundle.manifest`); decoded anew at every look.

        It names every batch of labels that taught it, thousands where each label is a batch.
        """
        return self.packed_manifest.value()

    @property
    def verdict(self) -> str:
        """The last verdict, "" before the first."""
        return self.verdicts[-1].verdict if self.verdicts else ""


@dataclass(slots=True)
class RequestState:
    """A retrain asked for, and what became of it; `verdicts` are those of `CycleFinished`.

    `guard_overrides` are the checks of the guard that it may pass over;
    `exclusion` is the entry whose repair it is part of, 0 for none.
    """

    seq: int
    time_us: int
    model: str
    trigger: str
    cut_position: int
    cut_time_us: int
    actor: str
    reason: str
    state: Literal["WAITING", "RUNNING", "FINISHED", "FAILED"] = "WAITING"
    guard_overrides: tuple[str, ...] = ()
    exclusion: int = 0
    finished_us: int = 0
    error: str = ""
    verdicts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reign:
    """A champion from its promotion or return, entry `seq`, to the next one's; "" for none."""

    version: str
    since_us: int
    seq: int
