"""An online learner as a defender: River's adaptive random forest, on the features of the kernel.

    decide   a payment at a time: probability of fraud ─ above the running threshold: declined
    learn    at the end of a day, one at a time in random order: frauds that have become known, and a share
             of approved payments that have matured unlabelled
             → threshold: a quantile of what the forest now says of a sample of the week's payments that have
               not turned out fraud; a decline whose owner answered stands for those whose did not

River is an extra (`fraud[peers]`). The forest reads drift from its own errors and replaces trees
(Gomes et al. 2017, "Adaptive random forests for evolving data stream classification"). Rows of the
majority class are thinned, which moves probabilities and not their order.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fraud.adversary.contest import Answers
from fraud.adversary.gang import Filing
from fraud.adversary.honest import Bools, HonestTraffic, Ints, Payments
from fraud.clock import DAY_US
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.records import LabelsSubmitted, LabelValue

INSTALL = "river is not installed, so the online learner is left out; pip install --editable '.[peers]'"
_FPR = 0.005
_THRESHOLD_DAYS = 7
_KEPT_DAYS = 30
_SAMPLE_ROWS = 4_000
_NOT_GIVEN = -1.0


@dataclass(frozen=True, slots=True)
class Forest:
    """Size of the forest: trees, their depth, and the share of legitimate rows that is learned from.

    As many trees as River's own default; shallower, for time.
    """

    trees: int = 10
    max_depth: int = 8
    legitimate_share: float = 0.1


@dataclass(frozen=True, slots=True)
class _Span:
    ids: Sequence[str]
    event_time_us: Ints
    matrix: NDArray[np.float32]
    approved: Bools


class Learner(Protocol):
    """Learns from one row at a time, fields by number; River's classifiers do."""

    def learn_one(self, x: dict[int, float], y: bool) -> None:
        """Take a row, and whether it is fraud."""
        ...

    def predict_proba_one(self, x: dict[int, float]) -> dict[bool | str | int, float]:
        """Return the probability of each, as far as it is known."""
        ...


def is_installed() -> bool:
    """Say whether River is there."""
    return find_spec("river") is not None


class OnlineDefender:
    """A `Defender` that never starts afresh: it learns what each day has brought. Mutable, one owner.

    It declines from the end of `first_day` on; an unlabelled payment is legitimate when it was
    approved and is `maturity_us` old. `retrains` stays 0: it never stops learning. `learner` is a forest by
    default.
    """

    name = "online"
    retrains = 0

    def __init__(
        self,
        traffic: HonestTraffic,
        *,
        maturity_us: int,
        seed: int,
        first_day: int = 14,
        forest: Forest | None = None,
        learner: Learner | None = None,
    ) -> None:
        self._forest = forest or Forest()
        self._model = learner or _forest_of(self._forest, seed)
        rule = ConflictRule.of(traffic.settings.labels)
        spec = FeatureSpec.of(traffic.settings)
        self._fold = FeatureFold(spec, rule)
        self._maturity_us = maturity_us
        self._start_us = traffic.start_us + (first_day + 1) * DAY_US
        self._rng = np.random.default_rng([seed, 31])
        self._spans: deque[_Span] = deque()
        self._unripe: deque[_Span] = deque()
        self._rows: dict[str, tuple[Coordinates, NDArray[np.float32]]] = {}
        self._known: dict[str, LabelValue] = {}
        self._threshold = np.inf
        self._frauds = 0
        self._batches = 0

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Fold, score and answer payments; before the first day is over all are approved, unscored."""
        features = self._fold.score(ids, payments.rows).features
        matrix = np.concatenate([features, payments.words.astype(np.float32)], axis=1)
        matrix = np.where(np.isnan(matrix), np.float32(_NOT_GIVEN), matrix)
        scores = np.full(len(ids), np.nan)
        if np.isfinite(self._threshold):
            scores = np.array([self._probability(row) for row in matrix])
        approved = ~(scores >= self._threshold)
        if len(ids):
            self._keep(_Span(tuple(ids), payments.event_time_us, matrix, approved), payments)
        return Answers(approved, scores)

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Learn labels that have come, then payments that have matured; move the threshold."""
        frauds = [name for filing in filings for name in self._take(filing, now_us)]
        for row, is_fraud in self._lessons(frauds, now_us):
            self._model.learn_one(_named(row), is_fraud)
        self._frauds += len(frauds)
        self._forget(now_us)
        if now_us >= self._start_us and self._frauds:
            self._threshold = self._quantile(now_us)

    def _keep(self, span: _Span, payments: Payments) -> None:
        self._spans.append(span)
        self._unripe.append(span)
        held, times = payments.surrogates.tolist(), payments.event_time_us.tolist()
        for at, name in enumerate(span.ids):
            self._rows[name] = (Coordinates(tuple(held[at]), times[at]), span.matrix[at])

    def _take(self, filing: Filing, now_us: int) -> list[str]:
        """Fold a filing and return the ids that it says are fraud, for the first time."""
        self._batches += 1
        event = LabelsSubmitted(
            f"batch-{self._batches}", 0, filing.source, filing.submitter, filing.labels, ""
        )
        lacking = self._fold.lacking(event)
        self._fold.take_labels(
            event, {name: self._rows[name][0] for name in lacking if name in self._rows}, now_us
        )
        fresh = [
            label.transaction_id
            for label in filing.labels
            if label.value is LabelValue.FRAUD
            and label.transaction_id in self._rows
            and self._known.get(label.transaction_id) is not LabelValue.FRAUD
        ]
        self._known.update((label.transaction_id, label.value) for label in filing.labels)
        return fresh

    def _lessons(self, frauds: Sequence[str], now_us: int) -> list[tuple[NDArray[np.float32], bool]]:
        """Return what is learned today, in random order: a forest remembers what came last."""
        lessons = [(self._rows[name][1], True) for name in frauds]
        while self._unripe and self._unripe[0].event_time_us[-1] < now_us - self._maturity_us:
            span = self._unripe.popleft()
            drawn = self._rng.random(len(span.ids)) < self._forest.legitimate_share
            lessons += [
                (span.matrix[at], False) for at in np.flatnonzero(drawn & self._usable(span)).tolist()
            ]
        return [lessons[at] for at in self._rng.permutation(len(lessons)).tolist()]

    def _usable(self, span: _Span) -> Bools:
        """Mark payments that count as legitimate: said to be, or approved and not said to be fraud."""
        known = [self._known.get(name) for name in span.ids]
        said = np.array([value is LabelValue.LEGITIMATE for value in known], np.bool_)
        silent = np.array([value is None for value in known], np.bool_)
        return said | (silent & span.approved)

    def _quantile(self, now_us: int) -> float:
        """Return the score that the false positives allowed are above, from what the forest says now."""
        spans = [span for span in self._spans if span.event_time_us[-1] >= now_us - _THRESHOLD_DAYS * DAY_US]
        approved = np.concatenate([span.approved for span in spans])
        known = np.array([name in self._known for span in spans for name in span.ids], np.bool_)
        usable = np.concatenate([self._usable(span) for span in spans])
        answered = np.count_nonzero(known & ~approved)
        of_each = np.count_nonzero(~approved) / answered if answered else 1.0
        weights = usable * np.where(approved, 1.0, of_each)
        matrix = np.concatenate([span.matrix for span in spans])
        drawn = self._rng.choice(len(matrix), _SAMPLE_ROWS, p=weights / weights.sum())
        scores = np.array([self._probability(row) for row in matrix[drawn]])
        return float(np.quantile(scores, 1 - _FPR, method="higher"))

    def _probability(self, row: NDArray[np.float32]) -> float:
        return float(self._model.predict_proba_one(_named(row)).get(True, 0.0))

    def _forget(self, now_us: int) -> None:
        oldest_us = now_us - _KEPT_DAYS * DAY_US
        while self._spans and self._spans[0].event_time_us[-1] < oldest_us:
            for name in self._spans.popleft().ids:
                del self._rows[name]
                self._known.pop(name, None)
        self._fold.forget_before(oldest_us)


def _forest_of(forest: Forest, seed: int) -> Learner:
    from river.forest import ARFClassifier

    made: Learner = ARFClassifier(
        n_models=forest.trees, max_depth=forest.max_depth, leaf_prediction="nba", seed=seed
    )
    return made


def _named(row: NDArray[np.float32]) -> dict[int, float]:
    return dict(enumerate(row.tolist()))
