"""What people are told while the demo runs: how both sides stand on an evening, and who tells it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fraud.adversary.chronicle import Happening, Kind
from fraud.adversary.contest_figures import ContestResult
from fraud.adversary.figures import RECENT_DAYS, DemoDay, DemoResult, Plan, Side

STYLES: Final[dict[Kind, str]] = {
    "attack": "bold magenta",
    "probing": "magenta",
    "retrain": "dim",
    "emergency": "bold yellow",
    "verdict": "cyan",
    "promotion": "bold green",
    "freeze": "bold red",
    "note": "yellow",
    "operator": "bold blue",
    "rollback": "bold blue",
    "failure": "bold red",
}
"""How a terminal shows each kind of happening."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One evening: days so far of both sides, what was `found` that day, and all that happened so far."""

    plan: Plan
    day: DemoDay
    service: ContestResult
    never: ContestResult
    found: tuple[Happening, ...]
    happenings: tuple[Happening, ...]

    def recent(self, result: ContestResult) -> Side:
        """Return a side's figures of the last days, none of them before there was a model."""
        end = self.day.day + 1
        return Side.of(result, min(max(end - RECENT_DAYS, self.plan.first_day + 1), end - 1), end)

    def lost_minor(self, result: ContestResult) -> int:
        """Return what the gang has got from a side since there was a model."""
        return sum(day.lost_minor for day in result.days[self.plan.first_day + 1 :])

    def count(self, kind: Kind) -> int:
        """Count happenings of a kind so far."""
        return sum(it.kind == kind for it in self.happenings)


class Teller(Protocol):
    """Tells people; whoever measures does not know how."""

    def note(self, text: str) -> None:
        """Say one thing about what is going on."""
        ...

    def day(self, standing: Standing) -> None:
        """Tell of an evening."""
        ...

    def end(self, result: DemoResult, report: Path) -> None:
        """Sum it all up, and say where the report lies."""
        ...


def mix(result: ContestResult, days: int = 1) -> list[tuple[str, float]]:
    """Return what the gang tried in the last days, by share of the money attempted, the largest first."""
    sums: Counter[str] = Counter()
    for day in result.days[-days:]:
        sums.update(day.attempted)
    total = sum(sums.values())
    return [(name, amount / total) for name, amount in sums.most_common() if amount]


def spelled(strategy: str) -> str:
    """Spell a strategy for people.

    >>> spelled("card_testing")
    'card testing'
    """
    return strategy.replace("_", " ")
