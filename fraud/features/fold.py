"""What online scoring and replay share: features and labels, folded in log order.

    transaction ──▶ read features ──▶ fold ──▶ labels that waited for it
    labels ──▶ book (which verdict stands) ──▶ change in frauds ──▶ relabel
                └──▶ transaction not folded yet: wait
    retraction, another view of the labels ──▶ what stands now ──▶ change in frauds ──▶ relabel
    decisions ──▶ declines wait for a payment that arrives later (`declines`) ──▶ decline

The fold sees the log through a view. What it hides is scored (somebody asks) but
not folded, and its labels do not count. Another view of the labels is taken in
place, since frauds are integers that come and go; transactions leave traces that
cannot be taken back (a maximum, a sketch), so another view of those needs a fold
that never saw them.

A label counts when its transaction is at most `spec.reach_us` older than the
newest event folded so far; an older one can change no window of an event that
is on time. Likewise a label that has waited for longer than that while time went
on joins no more, and is dropped at once (`waiting`). Whether a label counts depends
on the log alone, so labels out of reach may be forgotten at any moment and replay
still gives the same state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fraud.errors import Damaged, FraudError
from fraud.features import snapshot
from fraud.features.declines import Declines
from fraud.features.spec import FeatureSpec
from fraud.features.state import FeatureState, Rows, ScoredRows
from fraud.features.waiting import Waiting, WaitingLabels
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule, LabelBook, LabelFact
from fraud.records import LabelsSubmitted


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a transaction stands in the state. `position` in the log, 0 when surely folded already."""

    surrogates: tuple[int, ...]
    event_time_us: int
    position: int = 0


class FeatureFold:
    """Feature state with the labels that feed it, at one position of the log. One owner.

    `view` is what it sees of the log, from its start or since `see`.
    """

    def __init__(self, spec: FeatureSpec, rule: ConflictRule, view: View | None = None) -> None:
        self.spec = spec
        self.rule = rule
        self.state = FeatureState(spec)
        self.book = LabelBook(rule, view)
        self.coordinates: dict[str, Coordinates] = {}
        self.waiting = WaitingLabels()
        self.declines = Declines()
        self.position = 0

    @property
    def view(self) -> View:
        """What counts now."""
        return self.book.view

    def advance(self, position: int) -> None:
        """Take note that everything up to `position` of the log is folded."""
        self.position = position

    def score(self, transaction_ids: Sequence[str], rows: Rows) -> ScoredRows:
        """Read and fold rows in log order; waiting labels join right after their own row."""
        hidden = self.view.hidden_rows(rows.event_time_us, rows.surrogates, self.spec.entity_names)
        if not self.waiting and hidden is None:
            return self.state.score(rows)
        scored = self.state.prepare(rows)
        start = 0
        for i, transaction_id in enumerate(transaction_ids):
            if hidden is not None and hidden[i]:
                self.state.run(rows, scored, start, i, fold=True)
                self.state.run(rows, scored, i, i + 1, fold=False)
                start = i + 1
            elif transaction_id in self.waiting:
                self.state.run(rows, scored, start, i + 1, fold=True)
                self._join_waiting(transaction_id, rows, i)
                start = i + 1
        self.state.run(rows, scored, start, len(rows), fold=True)
        self.waiting.forget_before(self._reach_back_us)
        return scored

    def settle(self, arrival_us: int) -> None:
        """Let rows that arrive at `arrival_us` see the declines of those before; then `score` them."""
        self.declines.settle(self.state, arrival_us)

    def take_declines(self, rows: Rows, declined: NDArray[np.bool_], arrival_us: int) -> None:
        """Take note of which of the rows just folded, all of one arrival, were declined, bool[n].

        Without a feature that counts declines, and for rows that the view hides, nothing is kept.
        """
        if not self.spec.counts_declines or not declined.any():
            return
        hidden = self.view.hidden_rows(rows.event_time_us, rows.surrogates, self.spec.entity_names)
        at = np.flatnonzero(declined if hidden is None else declined & ~hidden)
        if len(at):
            self.declines.take(rows.at(at), arrival_us)

    def peek(self, rows: Rows) -> ScoredRows:
        """Read features and change nothing."""
        return self.state.peek(rows)

    def lacking(self, event: LabelsSubmitted) -> list[str]:
        """Return the transactions of a label event that `take_labels` needs to be told of."""
        return [
            label.transaction_id for label in event.labels if label.transaction_id not in self.coordinates
        ]

    def take_labels(
        self, event: LabelsSubmitted, known: Mapping[str, Coordinates], arrival_us: int
    ) -> tuple[int, int]:
        """Fold a label event that arrived at `arrival_us`; return how many labels joined and how many wait.

        `known` holds the transactions of the event that stand in the log; the
        fold remembers those it was told of before (`lacking`). One that stands
        after `position` is not folded yet, so its labels wait.
        """
        joined = 0
        changes: list[tuple[Coordinates, int]] = []
        for label in event.labels:
            fact = LabelFact(
                label.value, event.source, label.label_time_us, event.batch_id, event.submitter, arrival_us
            )
            found = self.coordinates.get(label.transaction_id) or known.get(label.transaction_id)
            if found is None or found.position > self.position:
                self.waiting.add(label.transaction_id, Waiting(fact, self.state.newest_us))
                continue
            joined += 1
            delta = self._report(label.transaction_id, found, fact)
            if delta:
                changes.append((found, delta))
        self._relabel(changes)
        return joined, len(event.labels) - joined

    def retract(self, batch_id: str) -> None:
        """Count the labels of a batch no more."""
        self._relabel_named(self.book.retract(batch_id))

    def see(self, view: View) -> None:
        """Count labels by another view from here on.

        Raises:
            ValueError: it hides other transactions; that needs a fold that never saw them.
        """
        if view.transactions != self.view.transactions:
            raise ValueError("another view of transactions needs a fold of its own")
        self._relabel_named(self.book.see(view))

    def become(self, other: "FeatureFold") -> None:
        """Take over everything that another fold of the same spec and rule holds."""
        self.state, self.book = other.state, other.book
        self.coordinates, self.waiting = other.coordinates, other.waiting
        self.declines = other.declines
        self.position = other.position

    def forget_before(self, event_time_us: int) -> None:
        """Drop the labels of transactions before `event_time_us` that count no more.

        Labels that wait need no call: they go as time goes on (`waiting`).
        """
        cut_us = min(event_time_us, self._reach_back_us)
        old = [name for name, found in self.coordinates.items() if found.event_time_us < cut_us]
        self.book.forget(old)
        for transaction_id in old:
            del self.coordinates[transaction_id]

    @property
    def _reach_back_us(self) -> int:
        return self.state.newest_us - self.spec.reach_us

    def _join_waiting(self, transaction_id: str, rows: Rows, i: int) -> None:
        found = Coordinates(tuple(rows.surrogates[i].tolist()), int(rows.event_time_us[i]))
        oldest_us = self._reach_back_us
        delta = sum(
            self._report(transaction_id, found, waiting.fact)
            for waiting in self.waiting.take(transaction_id)
            if waiting.counts(oldest_us)
        )
        if delta:
            self._relabel([(found, delta)])

    def _report(self, transaction_id: str, found: Coordinates, fact: LabelFact) -> int:
        if found.event_time_us < self._reach_back_us or self._is_hidden(found):
            return 0
        self.coordinates[transaction_id] = found
        return self.book.report(transaction_id, fact)

    def _is_hidden(self, found: Coordinates) -> bool:
        if not self.view.transactions:
            return False
        times, surrogates = np.array([found.event_time_us]), np.array([found.surrogates], np.int32)
        return self.view.hidden_rows(times, surrogates, self.spec.entity_names) is not None

    def _relabel_named(self, changes: Sequence[tuple[str, int]]) -> None:
        """Relabel transactions of the book; those out of reach change nothing that is read on time."""
        oldest_us = self._reach_back_us
        found = [(self.coordinates[name], delta) for name, delta in changes]
        self._relabel([(it, delta) for it, delta in found if it.event_time_us >= oldest_us])

    def _relabel(self, changes: Sequence[tuple[Coordinates, int]]) -> None:
        if not changes:
            return
        self.state.relabel(
            np.array([found.surrogates for found, _ in changes], dtype=np.int32),
            np.array([found.event_time_us for found, _ in changes], dtype=np.int64),
            np.array([delta for _, delta in changes], dtype=np.int64),
        )

    def equals(self, other: "FeatureFold") -> bool:
        """Tell whether both folds would answer everything to come alike."""
        return self._notes() == other._notes() and self.state.equals(other.state)

    def save(self, folder: Path) -> Path:
        """Write a snapshot into `folder`, named by position; return its path."""
        return snapshot.write(folder, self.position, self._notes(), self.state.arrays())

    @classmethod
    def load(cls, path: Path, spec: FeatureSpec, rule: ConflictRule) -> Self:
        """Read a snapshot.

        Raises:
            Damaged: the file is truncated or altered, or was written under
                another feature spec or conflict rule.
            OtherFormat: another release wrote it in another format.
        """
        notes, arrays = snapshot.read(path, ("header", "book"))
        fold = cls(spec, rule)
        header = notes["header"]
        snapshot.check_format(path, header)
        expected = fold._header()
        for key in ("fingerprint", "rule"):
            if header.get(key) != expected[key]:
                raise Damaged(
                    f"feature snapshot {path.name}: written under another {key} ({header.get(key)!r}, now "
                    f"{expected[key]!r}); rebuild the state by replaying the log"
                )
        try:
            fold._take_notes(header, notes["book"])
        except (KeyError, TypeError, ValueError, AttributeError, FraudError) as error:
            raise Damaged(f"feature snapshot {path.name}: labels cannot be read ({error!r})") from error
        fold.state.restore(arrays)
        fold.waiting.forget_before(fold._reach_back_us)
        return fold

    def _header(self) -> dict[str, Any]:
        rule = [self.rule.policy, *self.rule.sources]
        return {
            "format": snapshot.FORMAT,
            "fingerprint": self.spec.fingerprint,
            "rule": rule,
            "position": self.position,
            "view": self.view.to_text(),
        }

    def _notes(self) -> dict[str, Any]:
        book: dict[str, Any] = {
            "retracted": sorted(self.book.retracted),
            "facts": {name: [list(astuple(f)) for f in facts] for name, facts in self.book.facts.items()},
            "coordinates": {
                name: [list(found.surrogates), found.event_time_us]
                for name, found in self.coordinates.items()
            },
            "waiting": self.waiting.to_notes(),
        }
        if self.declines.surrogates:
            book["declines"] = self.declines.to_notes()
        return {"header": self._header(), "book": book}

    def _take_notes(self, header: Mapping[str, Any], book: Mapping[str, Any]) -> None:
        self.position = int(header["position"])
        self.declines = Declines.from_notes(book.get("declines", []))
        facts = {name: [LabelFact.of(values) for values in held] for name, held in book["facts"].items()}
        self.book.restore(View.from_text(header["view"]), book["retracted"], facts)
        self.waiting = WaitingLabels.from_notes(book["waiting"])
        self.coordinates = {
            name: Coordinates(tuple(surrogates), int(time_us))
            for name, (surrogates, time_us) in book["coordinates"].items()
        }
