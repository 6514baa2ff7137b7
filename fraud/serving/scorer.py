"""The owner of feature state and log order: scores batches, one at a time.

    transactions ─ known ids? ─► stored answer, or a conflict
         │ fresh
         ▼
    surrogates → features (read, then fold) → decisions per model → append, durable → answers
                    ▲                                │                  │ not APPROVE
                    └ declines, for later arrivals ──┘                  │
                                                                        ▼
                                                           reasons, off this thread

Everything here runs on the scoring thread. If an append fails nothing of the
batch is answered, and state, which has folded rows that the log does not hold,
is restored from snapshot and log before anything else is scored.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from fraud.clock import LATEST_US, Clock
from fraud.errors import FraudError, LogUnwritable, NotFound, Unavailable
from fraud.eventlog.log import EventLog
from fraud.faults import pass_point, raise_point
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.replay import logged_rows, rows_of
from fraud.features.state import ScoredRows
from fraud.labels.exclusions import View
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.policy.lists import Lists
from fraud.policy.spending import DaySpending, Spending
from fraud.records import (
    MISSING_SURROGATE,
    Applied,
    BatchRetracted,
    Decision,
    EntityListed,
    Entry,
    Event,
    LabelsSubmitted,
    Outcome,
    Scored,
    Transaction,
)
from fraud.serving.answers import logged, repeated
from fraud.serving.batcher import Answer, Delivery, ScoreWork
from fraud.serving.champions import Champions
from fraud.serving.counting import count_decisions
from fraud.serving.deciding import Batch, RowLimits, decide, decide_without_champion
from fraud.serving.dictionary import EntityDictionary
from fraud.serving.logged_features import features_of
from fraud.serving.overruling import Overruling
from fraud.serving.reasons import ReasonsDesk, wants_reasons
from fraud.serving.shadows import Shadows
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.scorer")
RESTORING = "the scorer is restoring its state from the log; try again"


@dataclass(slots=True)
class State:
    """What folds from the log, and up to where a snapshot holds it; replaced as a whole by a restore."""

    fold: FeatureFold
    dictionary: EntityDictionary
    spending: Spending
    lists: Lists
    snapshot_at: int


class Scorer:
    """Scores and logs batches; the only writer of the event log."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        clock: Clock,
        champions: Champions,
        desk: ReasonsDesk,
        metrics: ScorerMetrics,
        restore: Callable[[], State],
    ) -> None:
        self.log = log
        self._clock = clock
        self._champions = champions
        self._wall = settings.service.clock == "wall"
        self._desk = desk
        self._metrics = metrics
        self._restore = restore
        self.state: State | None = None
        self.unwritable = ""
        """Why the log cannot be written, "" while it can. Until then nothing is folded that it would lose."""
        self._no_champion = {name: Outcome[model.no_champion] for name, model in settings.models.items()}
        self._entities = settings.schema_.entity_names
        names = tuple(f"NEW_{name.upper()}" for name in self._entities)
        self._limits = RowLimits(names, settings.server.champion_stale_after)
        self.shadows = Shadows(metrics)
        self.overruling = Overruling(metrics)
        self.exploring = frozenset(settings.models)
        """The models that may explore; replaced as a whole when the ledger switches one."""
        self.tainted: frozenset[str] = frozenset()
        """The versions that serve although they learned from excluded data; replaced as a whole."""
        held = {name: partial(self._held, kind) for kind, name in enumerate(self._entities)}
        metrics.watch_entities(held, settings.features.entities_max)

    @property
    def ready(self) -> bool:
        """True when state stands where the log does."""
        return self.state is not None

    def _held(self, kind: int) -> float:
        """Return of how many entities of a kind state is kept, NaN while there is none; for any thread."""
        state = self.state
        return math.nan if state is None else float(state.fold.state.marks[kind])

    def recover(self) -> None:
        """Bring state that is not there to the head of the log, from snapshot and log.

        Raises:
            Damaged: the log or archive cannot be read.
        """
        if self.state is None:  # who asks for it may have waited for another restore
            self.state = self._restore()

    def now_for_intake(self) -> int:
        """Return the time against which an event time is judged.

        The log clock follows events, so none of them lies in its future; there
        the bound is the end of the century.
        """
        return self._clock.now_us() if self._wall else LATEST_US

    def now_us(self) -> int:
        """Return the arrival time of what comes in now; never older than the log's last."""
        return max(self._clock.now_us(), self.log.last_arrival_us())

    def score(self, works: list[ScoreWork], delivery: Delivery) -> None:
        """Score all rows of these calls as one batch, log them, deliver the answers.

        Raises:
            Unavailable: the append failed, nothing was logged or answered.
        """
        state = self._ready_state()
        transactions = [transaction for work in works for transaction in work.transactions]
        self._clock.observe(max(transaction.event_time_us for transaction in transactions))
        # By a clock that was set back batches arrive 1 µs apart: a decline is seen by what arrives later.
        now_us = max(self.now_us(), self.log.last_arrival_us() + self._wall)
        stored = self.log.find([transaction.transaction_id for transaction in transactions])
        seen = set(stored)
        fresh: list[Transaction] = []
        for transaction in transactions:
            if transaction.transaction_id not in seen:
                seen.add(transaction.transaction_id)
                fresh.append(transaction)
        scored = self._score_fresh(state, fresh, now_us)
        if len(fresh) == len(transactions):
            answers: list[Answer | FraudError] = [Answer(row, now_us) for row in scored]
        else:
            self._metrics.duplicates.inc(len(transactions) - len(fresh))
            known = {row.transaction_id: Entry(0, now_us, row) for row in scored} | stored
            answers = [repeated(t, known[t.transaction_id], state.dictionary) for t in transactions]
        self._deliver(works, answers, delivery)

    def try_disk(self) -> None:
        """Take up work again if the log can be written by now.

        Raises:
            LogUnwritable: it cannot.
        """
        self.log.prove_writable()
        _log.info("the log can be written again", was=self.unwritable)
        self.unwritable = ""

    def state_now(self) -> State:
        """Return the state at the head of the log, to look at.

        Raises:
            Unavailable: it is being restored.
        """
        if self.state is None:
            raise Unavailable(RESTORING)
        return self.state

    def _ready_state(self) -> State:
        if self.unwritable:
            raise LogUnwritable(self.unwritable)
        return self.state_now()

    def _score_fresh(self, state: State, fresh: list[Transaction], now_us: int) -> list[Scored]:
        """Return the rows as logged; on any failure state is restored and nothing is."""
        if not fresh:
            return []
        try:
            surrogates = [state.dictionary.surrogates(transaction.entities) for transaction in fresh]
            columns = rows_of(fresh, surrogates)
            state.fold.settle(now_us)
            rows = state.fold.score([t.transaction_id for t in fresh], columns)
            raise_point("scoring.folded", lambda: fresh)
            state.spending.turn(now_us)
            state.lists.turn(now_us)
            decisions = self._decide(fresh, rows, surrogates, state.spending.models, state.lists, now_us)
            decisions = self.shadows.attach(fresh, rows, decisions)
            scored = [
                logged(transaction, row, features.tobytes(), decision)
                for transaction, row, features, decision in zip(
                    fresh, surrogates, rows.features, decisions, strict=True
                )
            ]
            self._append(state, scored, now_us)
            if state.fold.spec.counts_declines:
                declined = [decision.outcome is Outcome.DECLINE for decision in decisions]
                state.fold.take_declines(columns, np.array(declined, np.bool_), now_us)
        except Exception:
            self._lose_state()
            raise
        count_decisions(self._metrics, scored, rows)
        return scored

    def _decide(
        self,
        fresh: list[Transaction],
        rows: ScoredRows,
        surrogates: Sequence[tuple[int, ...]],
        spent: Mapping[str, DaySpending],
        lists: Lists,
        now_us: int,
    ) -> list[Decision]:
        models = {transaction.model for transaction in fresh}
        if len(models) == 1:
            model = models.pop()
            return self._decide_model(Batch(model, fresh, rows, surrogates, now_us), spent.get(model), lists)
        decisions: dict[int, Decision] = {}
        for model in models:
            at = [i for i, transaction in enumerate(fresh) if transaction.model == model]
            part = ScoredRows(rows.features[at], rows.is_new[at], rows.is_late[at])
            mine, theirs = [fresh[i] for i in at], [surrogates[i] for i in at]
            decided = self._decide_model(Batch(model, mine, part, theirs, now_us), spent.get(model), lists)
            decisions.update(zip(at, decided, strict=True))
        return [decisions[i] for i in range(len(fresh))]

    def _decide_model(self, batch: Batch, spent: DaySpending | None, lists: Lists) -> list[Decision]:
        champion = self._champions.get(batch.model)
        if champion is None:
            outcome = self._no_champion[batch.model]
            return decide_without_champion(outcome, batch, self._limits, self.overruling, lists)
        exploring = spent if batch.model in self.exploring else None
        tainted = champion.version in self.tainted
        return decide(champion, batch, self._limits, exploring, self.overruling, lists, tainted=tainted)

    def _append(self, state: State, events: Sequence[Event], now_us: int) -> int:
        started = time.perf_counter()
        try:
            first = self.log.append(events, now_us, state.dictionary.take_new())
        except LogUnwritable as error:
            self.unwritable = str(error)
            raise
        self._metrics.append_seconds.observe(time.perf_counter() - started)
        state.fold.advance(first + len(events) - 1)
        return first

    def append(self, event: Event) -> int:
        """Log one event that carries no transactions; return its position.

        Raises:
            Unavailable: the append failed and nothing was logged.
        """
        state = self._ready_state()
        with self._whole():
            return self._append(state, [event], self.now_us())

    def append_labels(self, event: LabelsSubmitted, known: Mapping[str, Coordinates]) -> tuple[int, int]:
        """Log a label event and fold it; return how many labels joined and how many wait.

        Raises:
            Unavailable: the append failed and nothing was logged.
        """
        state = self._ready_state()
        with self._whole():
            now_us = self.now_us()
            self._append(state, [event], now_us)
            return state.fold.take_labels(event, known, now_us)

    def append_retraction(self, event: BatchRetracted) -> None:
        """Log that a batch was taken back, and count its labels no more.

        Raises:
            Unavailable: the append failed and nothing was logged.
        """
        state = self._ready_state()
        with self._whole():
            self._append(state, [event], self.now_us())
            state.fold.retract(event.batch_id)

    def append_listing(self, event: EntityListed, token: str) -> EntityListed:
        """Log that an entity is put on a list or taken off all, and go by it; return it with its surrogate.

        A token that never came gets a surrogate in the same append, unless it is taken off.

        Raises:
            NotFound: it is to be taken off and never came.
            Unavailable: the append failed and nothing was logged.
        """
        state = self._ready_state()
        place = self._entities.index(event.entity)
        tokens = tuple(token if i == place else None for i in range(len(self._entities)))
        surrogate = state.dictionary.surrogate_of(place, token)
        if surrogate == MISSING_SURROGATE and not event.list_name:
            raise NotFound(f"entity {event.entity!r}: no such token ever came, so it is on no list")
        with self._whole():
            now_us = self.now_us()
            listed = replace(event, surrogate=state.dictionary.surrogates(tokens)[place])
            self._append(state, [listed], now_us)
            state.lists.put(listed, now_us)
        return listed

    def change_view(self, applied: Applied, change: Callable[[FeatureFold], None]) -> None:
        """Log that another view is in force, then change the fold to it.

        Raises:
            Unavailable: the append failed and nothing was logged.
        """
        state = self._ready_state()
        with self._whole():
            self._append(state, [applied], self.now_us())
            pass_point("exclusion.applied")
            change(state.fold)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Lose the state where the body of a `with` fails: it may be half changed."""
        try:
            yield
        except Exception:
            self._lose_state()
            raise

    def _lose_state(self) -> None:
        """Restore, at once; what waits in the queue waits for it."""
        self.state = None
        self._metrics.restores.inc()
        try:
            self.recover()
        except Exception:  # noqa: BLE001 — stays not ready; the server tries again
            _log.exception("restore failed; not ready")

    def _deliver(
        self, works: list[ScoreWork], answers: list[Answer | FraudError], delivery: Delivery
    ) -> None:
        start = 0
        for work in works:
            mine = answers[start : start + len(work.transactions)]
            start += len(work.transactions)
            if work.with_reasons or any(map(wants_reasons, mine)):
                self._desk.explain(work, mine, delivery)
            else:
                delivery.answer(work.future, mine)

    def peek_under(self, view: View, rows: Sequence[Scored]) -> NDArray[np.float32]:
        """Return logged features, float32[n, F], with label-fed ones as they read now under another view.

        The view hides the transactions that the present one hides. Frauds are
        integers, so taking it and going back leaves the state as it was.
        """
        fold = self._ready_state().fold
        present = fold.view
        with self._whole():
            fold.see(view)
            read = fold.peek(logged_rows(rows, len(fold.spec.entities))).features
            fold.see(present)
        features = features_of(rows, len(fold.spec.names)).copy()
        columns = fold.spec.indices(fold.spec.label_fed)
        features[:, columns] = read[:, columns]
        return features

    def self_score(self, transaction: Transaction) -> Decision:
        """Score a row through the same path, but touch neither log nor state.

        Raises:
            Unavailable: the scorer is not ready.
        """
        state = self._ready_state()
        surrogates = [state.dictionary.peek(transaction.entities)]
        rows = state.fold.peek(rows_of([transaction], surrogates))
        spent = {transaction.model: state.spending.models[transaction.model].copy()}
        decisions = self._decide([transaction], rows, surrogates, spent, state.lists, self.now_us())
        score = decisions[0].score
        if score is not None and not math.isfinite(score):
            raise Unavailable(f"the self-score of {transaction.model} is {score}")
        return decisions[0]
