"""Rounds of the evasion benchmark as files, so that an interrupted one goes on.

round-N.npz: features and numbers, written first; round-N.json: figures, words and the commit that played it
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import UNKNOWN, commit
from fraud.attacks.campaign import Result
from fraud.training.dataset import Variants


@dataclass(frozen=True, slots=True, eq=False)
class Evaded:
    """Payments of evasions, m rows: features float32[m, F], words, and whose fraud, by position int64[m]."""

    features: NDArray[np.float32]
    words: tuple[tuple[str, ...], ...]
    of: NDArray[np.int64]

    @classmethod
    def of_results(cls, results: Sequence[Result]) -> Self:
        """Take the cheapest evasion of each result that has one."""
        best = [(it.fraud.position, it.best) for it in results if it.best is not None]
        width = best[0][1].features.shape[1] if best else 0
        return cls(
            np.concatenate([np.empty((0, width), np.float32), *(each.features for _, each in best)]),
            tuple(payment.words for _, each in best for payment in each.payments),
            np.array([position for position, each in best for _ in each.payments], np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """Figures of a round, the variants it found, and the first round's recoverable evasions."""

    row: dict[str, Any]
    found: Variants
    old: Evaded


class Rounds:
    """Finished rounds in a folder, numbered from 0; `commits` are those of all that was read or written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commit = commit()
        self.commits: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, most: int) -> list[Round]:
        """Return the rounds that were written, at most so many."""
        found: list[Round] = []
        while len(found) < most and self._place(len(found), "json").is_file():
            found.append(self._read(len(found)))
        return found

    def write(self, number: int, made: Round) -> None:
        """Write a round down, whole or not at all."""
        found, old = made.found, made.old
        np.savez_compressed(
            self._place(number, "npz"),
            features=found.features,
            of=found.of,
            cost=found.cost,
            attempt=found.attempt,
            evades=found.evades,
            old_features=old.features,
            old_of=old.of,
        )
        self.commits.add(self._commit)
        stored = {"commit": self._commit, "row": made.row, "words": found.words, "old_words": old.words}
        part = self._place(number, "part")
        part.write_text(json.dumps(stored), encoding="utf-8")
        part.replace(self._place(number, "json"))

    def _read(self, number: int) -> Round:
        stored = json.loads(self._place(number, "json").read_text(encoding="utf-8"))
        self.commits.add(stored.get("commit", UNKNOWN))
        with np.load(self._place(number, "npz")) as arrays:
            found = Variants(
                arrays["features"],
                tuple(tuple(each) for each in stored["words"]),
                arrays["of"],
                arrays["cost"],
                arrays["attempt"],
                arrays["evades"],
            )
            words = tuple(tuple(each) for each in stored["old_words"])
            return Round(stored["row"], found, Evaded(arrays["old_features"], words, arrays["old_of"]))

    def _place(self, number: int, ending: str) -> Path:
        return self._folder / f"round-{number}.{ending}"
