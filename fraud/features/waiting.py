"""Labels that came before their transaction, until it comes or time has passed them by.

    label of an unknown id ─▶ by id ──────────────▶ its transaction comes: take them
                          └─▶ by age, oldest first ─▶ waited longer than the reach: forget

Which labels wait is a function of the log: a label is forgotten when the newest
event has gone on far enough, so a replay forgets the same ones. What comes in is
bounded before the log (`labels.waiting_max`), never here. The line by age keeps
entries of labels that were taken, until they are more than those that wait.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Self

from fraud.labels.standing import LabelFact

_SPARE_ENTRIES = 1_000
"""So many entries of labels that are gone stay in the line by age, whatever waits."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A label whose transaction is not folded yet; `since_us` was the newest event when it came.

    0: nothing had been folded, so no time has passed that could be counted.
    """

    fact: LabelFact
    since_us: int

    def counts(self, oldest_us: int) -> bool:
        """Tell whether it has waited since `oldest_us` or later."""
        return self.since_us >= oldest_us or self.since_us == 0


class WaitingLabels:
    """The labels that wait, by transaction id in log order. Its length counts labels, not ids."""

    def __init__(self) -> None:
        self._by_id: dict[str, list[Waiting]] = {}
        self._by_age: deque[tuple[int, str]] = deque()
        self._labels = 0

    def __len__(self) -> int:
        """Return the number of labels."""
        return self._labels

    def __contains__(self, transaction_id: str) -> bool:
        """Tell whether any label waits for a transaction."""
        return transaction_id in self._by_id

    def of(self, transaction_id: str) -> Sequence[Waiting]:
        """Return the labels that wait for a transaction, in log order."""
        return self._by_id.get(transaction_id, ())

    def add(self, transaction_id: str, waiting: Waiting) -> None:
        """Let a label wait; `since_us` is never older than of those before."""
        self._by_id.setdefault(transaction_id, []).append(waiting)
        self._labels += 1
        if waiting.since_us:
            self._by_age.append((waiting.since_us, transaction_id))

    def take(self, transaction_id: str) -> list[Waiting]:
        """Return the labels that wait for a transaction, in log order; they wait no more."""
        taken = self._by_id.pop(transaction_id, [])
        self._labels -= len(taken)
        if len(self._by_age) > 2 * self._labels + _SPARE_ENTRIES:
            self._line_up()
        return taken

    def forget_before(self, oldest_us: int) -> None:
        """Drop the labels that have waited since before `oldest_us`; costs as much as there is to drop."""
        names: set[str] = set()
        while self._by_age and self._by_age[0][0] < oldest_us:
            names.add(self._by_age.popleft()[1])
        for name in names:
            held = self._by_id.pop(name, [])
            kept = [waiting for waiting in held if waiting.counts(oldest_us)]
            self._labels -= len(held) - len(kept)
            if kept:
                self._by_id[name] = kept

    def _line_up(self) -> None:
        ages = [(it.since_us, name) for name, held in self._by_id.items() for it in held if it.since_us]
        self._by_age = deque(sorted(ages))

    def to_notes(self) -> dict[str, list[list[Any]]]:
        """Return the labels as JSON values, by id."""
        return {name: [[*astuple(it.fact), it.since_us] for it in held] for name, held in self._by_id.items()}

    @classmethod
    def from_notes(cls, notes: Mapping[str, Sequence[Sequence[Any]]]) -> Self:
        """Read what `to_notes` wrote."""
        labels = cls()
        labels._by_id = {
            name: [Waiting(LabelFact.of(values), int(since_us)) for *values, since_us in held]
            for name, held in notes.items()
        }
        labels._labels = sum(map(len, labels._by_id.values()))
        labels._line_up()
        return labels
