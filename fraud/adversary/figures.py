"""What the demo measured: one row per day, one per retrain, and whether the loop did its job.

Frozen facts and pure functions; the console, the report and `--output json`
all show these and nothing else.
"""

from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.evaluation.metrics import alerts, average_precision
from fraud.gate.verdict import Verdict

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quality:
    """How well one model ranked a day: frauds among its riskiest `budget` rows, recall, AP."""

    caught: int
    recall: float
    average_precision: float


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One simulated day. Both qualities are over the same rows and the same alert budget.

    `transactions` and `frauds` count the whole day, the qualities the payments
    that got a score; `service` is None while no version answered;
    `never_retrained` is the first champion, left as it was.
    `versions` are those that answered, in order.
    """

    day: int
    date: str
    strategy: str
    transactions: int
    frauds: int
    budget: int
    versions: tuple[str, ...]
    service: Quality | None
    never_retrained: Quality | None


@dataclass(frozen=True, slots=True)
class VerdictFigures:
    """The gate's answer about one version, as the ledger holds it."""

    day: int
    version: str
    recipe: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CycleFigures:
    """One retrain beside live traffic: how long it took, what it promoted, what payments noticed.

    `answered` single payments were scored while it ran; `slowest_ms` and
    `median_ms` are of those.
    """

    day: int
    seconds: float
    promoted: str
    answered: int
    median_ms: float
    slowest_ms: float
    error: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything the demo measured.

    `change_day` is the day the fraudsters change their strategy; `scores_repeated`
    tells how many answers of the first champion the never-retrained model gave
    again, and `scores_differing` how many not bit for bit. `without_champion` of
    the transactions were answered before there was one.
    """

    seed: int
    change_day: int
    alert_share: float
    days: tuple[DayFigures, ...]
    cycles: tuple[CycleFigures, ...]
    verdicts: tuple[VerdictFigures, ...]
    transactions: int
    without_champion: int
    logged: int
    requests: int
    failed: tuple[str, ...]
    labels: int
    scores_repeated: int
    scores_differing: int
    seconds: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What the loop should have done and did not; empty when all is well."""
        return tuple(_problems(self))

    @property
    def recovery_day(self) -> int | None:
        """The first day served by a version that was promoted after the change, or None."""
        promoted = [cycle.day for cycle in self.cycles if cycle.promoted and cycle.day >= self.change_day]
        return promoted[0] + 1 if promoted else None

    def recalls(self, first: int, end: int) -> tuple[float, float]:
        """Return mean daily recall of (service, never retrained) over days [first, end), NaN if none."""
        both = [
            (day.service.recall, day.never_retrained.recall)
            for day in self.days
            if first <= day.day < end and day.service and day.never_retrained
        ]
        if not both:
            return float("nan"), float("nan")
        return fmean(service for service, _ in both), fmean(never for _, never in both)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values for `--output json`."""
        return {**asdict(self), "recovery_day": self.recovery_day, "problems": list(self.problems)}


def quality(is_fraud: NDArray[np.bool_], scores: Scores, alert_share: float) -> Quality | None:
    """Judge one day's ranking; None when there is nothing to judge.

    `is_fraud` bool[n] and `scores` float64[n] are in time order; ties go to the earlier row.
    """
    frauds = int(is_fraud.sum())
    if frauds == 0:
        return None
    alerted = alerts(scores, np.zeros(len(scores), dtype=np.int32), alert_share)
    caught = int((alerted & is_fraud).sum())
    return Quality(caught, caught / frauds, float(average_precision(is_fraud, scores)))


def _problems(result: DemoResult) -> list[str]:
    found = []
    if result.failed:
        found.append(f"{len(result.failed)} requests failed, first: {result.failed[0]}")
    if result.logged != result.transactions:
        found.append(f"{result.transactions} transactions were answered, {result.logged} stand in the log")
    if result.scores_differing:
        found.append(f"{result.scores_differing} scores differ when recomputed from the logged features")
    found += [
        f"the retrain after day {cycle.day} failed: {cycle.error}" for cycle in result.cycles if cycle.error
    ]
    if not any(cycle.promoted for cycle in result.cycles):
        return [*found, "no version was ever promoted"]
    recovery = result.recovery_day
    if recovery is None:
        return [*found, "nothing was promoted after the fraudsters changed their strategy"]
    service, never = result.recalls(recovery, len(result.days))
    if not service > never:
        found.append(f"after the last promotion recall is {service:.2f}, never retrained {never:.2f}")
    return found
