"""How the loop has run: retrains, verdicts, promotions and rollbacks, counted from the ledger.

    CycleStarted … CycleFinished | CycleFailed   a retrain of each model, with its end and duration;
                                                 one that was stopped is none
    VerdictGiven                                 by answer, and by way or first failed bound
    VersionRegistered, Promoted, RolledBack      counts, and when last

A figure that outlives the process it is shown by has to be a fold; these are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fraud.registry.chain import LedgerEntry

Result = Literal["finished", "untrained", "frozen", "failed"]
RESULTS: Final[tuple[Result, ...]] = ("finished", "untrained", "frozen", "failed")
"""How a retrain of one model ends: with new versions, without any, stopped by the guard, by an error."""

_FAMILIES: Final = {
    "self_test": "self_test",
    "bundle_bytes": "bundle_bytes",
    "alert": "outcome_shift",
    "decline_shift": "outcome_shift",
    "risk_": "risk_scale",
    "scoring_ratio": "scoring_ratio",
    "sentinel_": "sentinels",
    "evasion": "evasion",
    "calibration": "calibration",
    "slice_": "slices",
    "floor_": "floors",
    "inferiority": "inferiority",
}
"""What a failed check begins with → the reason it is counted under."""

UNDECIDED: Final = "undecided"
REASONS: Final = (
    *("floors", "superiority", "refresh", "emergency"),
    *dict.fromkeys(name for name in _FAMILIES.values() if name != "floors"),
    *("evidence_frauds", UNDECIDED),
)
"""Every reason a verdict is counted under; a check that plugs in counts as undecided."""


@dataclass(frozen=True, slots=True)
class RetrainEnd:
    """How a model's retrain ended. `seconds` is 0 where the ledger does not say."""

    time_us: int
    result: Result
    seconds: float


class LoopCounts:
    """The running fold; keys begin with the model."""

    def __init__(self) -> None:
        self.seq = 0
        self.retrains: Counter[tuple[str, Result]] = Counter()
        self.last: dict[str, RetrainEnd] = {}
        self.succeeded_us: dict[str, int] = {}
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[tuple[str, str, str]] = Counter()
        self.versions: Counter[str] = Counter()
        self.promotions: Counter[str] = Counter()
        self.rollbacks: Counter[str] = Counter()
        self.promoted_us: dict[str, int] = {}
        self.rolled_back_us: dict[str, int] = {}
        self._running: Sequence[str] = ()

    def apply(self, entry: LedgerEntry) -> None:
        """Take one more entry; kinds that say nothing of the loop are passed over."""
        self.seq = entry.seq
        body = entry.body
        match entry.kind:
            case "CycleStarted":
                self._running = body["models"]
            case "CycleFinished":
                for model, result in results_of(self._running, body).items():
                    self._ended(model, result, entry)
            case "CycleFailed" if not body.get("stopped"):
                for model in self._running:
                    self._ended(model, "failed", entry)
            case "VerdictGiven":
                model, verdict = body["model"], body["verdict"]
                self.verdicts[model, verdict] += 1
                self.reasons[model, verdict, reason_of(verdict, body["way"], body["report"])] += 1
            case "VersionRegistered":
                self.versions[body["model"]] += 1
            case "Promoted":
                self.promotions[body["model"]] += 1
                self.promoted_us[body["model"]] = entry.time_us
            case "RolledBack":
                self.rollbacks[body["model"]] += 1
                self.rolled_back_us[body["model"]] = entry.time_us

    def _ended(self, model: str, result: Result, entry: LedgerEntry) -> None:
        self.retrains[model, result] += 1
        self.last[model] = RetrainEnd(entry.time_us, result, float(entry.body.get("seconds", 0.0)))
        if result == "finished":
            self.succeeded_us[model] = entry.time_us


def results_of(models: Sequence[str], body: Mapping[str, Any]) -> dict[str, Result]:
    """Return how a cycle that has finished ended for each of its models, by the body of its entry."""
    frozen = {it["model"] for it in body["verdicts"] if it["verdict"] == "FROZEN"}
    # Older releases do not say of which models a version was made.
    trained = body.get("trained", models)
    return {
        model: "frozen" if model in frozen else "finished" if model in trained else "untrained"
        for model in models
    }


def reason_of(verdict: str, way: str, report: Mapping[str, Any]) -> str:
    """Return the one of `REASONS` that a verdict is counted under.

    >>> reason_of("REJECT", "", {"checks": [{"name": "sentinel_terminal", "passed": False}]})
    'sentinels'
    """
    if verdict == "PROMOTE":
        return way if way in REASONS else UNDECIDED
    failed = [row["name"] for row in report.get("checks", ()) if row["passed"] is False]
    if verdict == "INCONCLUSIVE":
        return "evidence_frauds" if "evidence_frauds" in failed else UNDECIDED
    found = (reason for name in failed for start, reason in _FAMILIES.items() if name.startswith(start))
    return next(found, UNDECIDED)
