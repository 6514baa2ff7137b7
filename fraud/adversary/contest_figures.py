"""What a contest between attackers and a defender came to: a row per day, and figures over days.

Truth is the contest's own, so recall is exact: of all frauds of the day, declined ones
among them, and at a rate of false positives, whatever threshold the defender uses.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Self

import numpy as np

from fraud.adversary.honest import Bools, Floats

FPR = 0.005
RECOVERED_SHARE = 0.9
_BEFORE_DAYS = 7
_SMOOTH_DAYS = 3
_DOMINANT_DAYS = 5


@dataclass(frozen=True, slots=True)
class ContestDay:
    """One day. Amounts are minor units.

    `caught` of `frauds` score above all but a share `FPR` of the day's honest payments (None:
    nothing was scored), `detected` were declined. `profit_minor` is the attackers', costs of
    that day included. `attempted` holds attempted amounts by strategy; mutants count for
    their ancestor.
    """

    day: int
    honest: int
    frauds: int
    caught: int | None
    detected: int
    false_declines: int
    attempted_minor: int
    detected_minor: int
    lost_minor: int
    profit_minor: int
    retrains: int
    attempted: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Recovery:
    """A change of the strategy that most is attempted with, and how long recall took to come back.

    `days` is 0 where it never fell below, None where it did not come back within `watched` days, which
    end with the next change or the contest, or where there was no recall to come back to. `fell` says
    that there was some, and that less was left.
    """

    day: int
    before: str
    after: str
    days: int | None
    watched: int
    fell: bool


@dataclass(frozen=True, slots=True)
class Comeback:
    """How changes that `fell` ended: so many came `back`, after `days` in the median, and `at_least` so many.

    Who never came back took longer than anything observed, so `days` is infinite where the median lies
    among those; half of all took `at_least` as long as they were watched, and that is finite. NaN for none.
    """

    fell: int
    back: int
    days: float
    at_least: float

    @classmethod
    def of(cls, changes: Iterable[Recovery]) -> Self:
        """Pool the changes of one contest, or of many."""
        fallen = [change for change in changes if change.fell]
        days = [np.inf if change.days is None else change.days for change in fallen]
        least = [change.watched if change.days is None else change.days for change in fallen]
        back = sum(change.days is not None for change in fallen)
        return cls(len(fallen), back, *(float(median(it)) if it else np.nan for it in (days, least)))


@dataclass(frozen=True, slots=True)
class ContestResult:
    """All days of one contest, with the seed that gives them again."""

    defender: str
    seed: int
    days: tuple[ContestDay, ...]

    def recall(self, first: int, end: int) -> float:
        """Return recall at `FPR` over days [first, end), frauds pooled; NaN before anything was scored.

        Once there is a model, a day that was not scored as a whole caught nothing.
        """
        measured = next((at for at, day in enumerate(self.days) if day.caught is not None), len(self.days))
        days = self.days[max(first, measured) : end]
        frauds = sum(day.frauds for day in days)
        return sum(day.caught or 0 for day in days) / frauds if frauds else float("nan")

    def value_detected(self, first: int, end: int) -> float:
        """Return the share of attempted amounts that was declined over days [first, end); NaN for none."""
        attempted = sum(day.attempted_minor for day in self.days[first:end])
        return sum(day.detected_minor for day in self.days[first:end]) / attempted if attempted else np.nan

    def lost_per_day(self, first: int, end: int) -> float:
        """Return what attackers got approved a day over days [first, end), minor units."""
        days = self.days[first:end]
        return sum(day.lost_minor for day in days) / len(days) if days else float("nan")

    def recoveries(self, first: int) -> list[Recovery]:
        """Return each change of strategy from a day on, and the days to 90 % of the recall before it.

        The recall of the week before a change, or before an earlier one where that was better: a fall
        that was never made good sets no lower goal. Without any there is nothing to come back to.
        """
        used = _dominant(self.days)
        changes = [day for day in range(max(first, 1), len(used)) if used[day] != used[day - 1]]
        found, best = [], 0.0
        for change, following in zip(changes, [*changes, len(used)][1:], strict=True):
            before = self.recall(max(0, change - _BEFORE_DAYS), change)
            best = float(np.fmax(best, before))
            below = [
                not self.recall(max(change, day - _SMOOTH_DAYS + 1), day + 1) >= RECOVERED_SHARE * best
                for day in range(change, following)
            ]
            days, fell = (_days_below(below), True in below) if best else (None, False)
            found.append(Recovery(change, used[change - 1], used[change], days, following - change, fell))
        return found

    def row(self, first: int, end: int) -> dict[str, Any]:
        """Return the columns of a benchmark's table over days [first, end)."""
        days = self.days[first:end]
        return {
            "defender": self.defender,
            "recall at .5 % FPR": self.recall(first, end),
            "value detected": self.value_detected(first, end),
            "lost a day": self.lost_per_day(first, end) / 100,
            "retrains": sum(day.retrains for day in days),
            "false declines a day": sum(day.false_declines for day in days) / max(1, len(days)),
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


def caught_at_fpr(is_fraud: Bools, scores: Floats, fpr: float = FPR) -> int | None:
    """Count frauds above the honest score that a share `fpr` of honest rows exceed; None without scores.

    `scores` float64[n], NaN where none was given. A tie with that score is not caught.

    >>> caught_at_fpr(np.array([False] * 200 + [True]), np.arange(201.0))
    1
    """
    if np.isnan(scores).any() or not len(scores):
        return None
    honest = np.sort(scores[~is_fraud])[::-1]
    budget = int(fpr * len(honest) + 1e-9)
    bound = honest[budget] if budget < len(honest) else -np.inf
    return int(np.count_nonzero(scores[is_fraud] > bound))


def family(strategy: str) -> str:
    """Return the ancestor of a mutant, or the strategy itself.

    >>> family("card_testing~7")
    'card_testing'
    """
    return strategy.partition("~")[0]


def _days_below(below: Sequence[bool]) -> int | None:
    """Return the day on which what had fallen was back; 0 if it never fell, None if it never came back."""
    if True not in below:
        return 0
    fell = below.index(True)
    return below.index(False, fell) if False in below[fell:] else None


def _dominant(days: Sequence[ContestDay]) -> list[str]:
    """Return by day the strategy that most was attempted with in the five days around; "" before any."""
    found: list[str] = []
    for middle in range(len(days)):
        sums: Counter[str] = Counter()
        for day in days[max(0, middle - _DOMINANT_DAYS // 2) : middle + _DOMINANT_DAYS // 2 + 1]:
            sums.update(day.attempted)
        best = max(sums, key=lambda name: (sums[name], name), default="")
        found.append(best or (found[-1] if found else ""))
    return found
