"""Light defenders: the kernel's features and one XGBoost model in this process, retrained or not.

    payments ─ kernel ─▶ features ─ model ─▶ above the threshold: declined
    end of a day: labels ─▶ kernel and book ─ when due ─▶ fit on matured rows ─▶ threshold on cards left out

They stand for policies of retraining (never, every n days, an oracle), not for this
service: no gate, no guard, no challengers, one recipe. A declined payment whose owner was
not asked is never trained on, an unlabelled one only once it has matured, and unless `fresh`
nor is a labelled one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.adversary.contest import Answers
from fraud.adversary.gang import Filing
from fraud.adversary.honest import CARD, Bools, HonestTraffic, Ints, Payments, required_kind
from fraud.bundle.boosting import load_booster, margins_of
from fraud.clock import DAY_US
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule, LabelBook, LabelFact
from fraud.records import LabelsSubmitted, LabelValue
from fraud.settings.learning import Recipe
from fraud.training.fit import fit

LIGHT = Recipe(kind="full", rounds=60, max_depth=5, learning_rate=0.15, max_bin=256, legitimate_share=0.2)
_FRAUDS_MIN = 20
_HOLDOUT = 5
"""Each fifth card is left out of fitting and sets the threshold."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a model is fitted, on what, and how much it declines.

    The first one at the end of `first_day`, or once there are enough frauds, later ones each
    `every_days` (None: never again). Rows are those of `window_us`, `maturity_us` old. `fpr`
    of honest payments are declined by mistake, as seen on cards left out. `fresh`: what has a verdict
    teaches at once, however young; only what has none has to mature.
    """

    name: str
    first_day: int = 14
    every_days: int | None = None
    window_us: int = 28 * DAY_US
    maturity_us: int = 7 * DAY_US
    fpr: float = 0.005
    fresh: bool = False

    @classmethod
    def static(cls, first_day: int = 14) -> Self:
        """Return the policy of one model for ever."""
        return cls("never retrained", first_day)

    @classmethod
    def scheduled(cls, every_days: int, first_day: int = 14) -> Self:
        """Return the policy of a calendar."""
        return cls(f"every {every_days} days", first_day, every_days)

    @classmethod
    def oracle(cls, first_day: int = 14) -> Self:
        """Return the policy of one who retrains daily; with `LabelRules.at_once` nothing is unknown."""
        return cls("oracle", first_day, 1, maturity_us=0)

    def due(self, day: int, models: int) -> bool:
        """Say whether a model is fitted at the end of a day, when there have been so many."""
        if day < self.first_day or not models:
            return day >= self.first_day
        return self.every_days is not None and (day - self.first_day) % self.every_days == 0


@dataclass(frozen=True, slots=True)
class _Span:
    """Answered payments, kept for training."""

    ids: tuple[str, ...]
    event_time_us: Ints
    surrogates: NDArray[np.int32]
    matrix: NDArray[np.float32]
    approved: Bools


@dataclass(slots=True)
class _Memory:
    """Payments of the window, and where those that may be labelled stand."""

    spans: deque[_Span] = field(default_factory=deque)
    places: dict[str, Coordinates] = field(default_factory=dict)

    def keep(self, span: _Span) -> None:
        self.spans.append(span)
        held, times = span.surrogates.tolist(), span.event_time_us.tolist()
        self.places.update(
            (name, Coordinates(tuple(row), time_us))
            for name, row, time_us in zip(span.ids, held, times, strict=True)
        )

    def forget_before(self, time_us: int) -> None:
        while self.spans and self.spans[0].event_time_us[-1] < time_us:
            for name in self.spans.popleft().ids:
                del self.places[name]


class KernelDefender:
    """A `Defender` on the features of the service that takes the traffic. Mutable, one owner."""

    def __init__(
        self, traffic: HonestTraffic, policy: Policy, *, seed: int, recipe: Recipe = LIGHT, nthread: int = 1
    ) -> None:
        settings = traffic.settings
        self.name = policy.name
        self.retrains = 0
        self._policy = policy
        self._recipe = recipe
        self._seed, self._nthread = seed, nthread
        self._start_us = traffic.start_us
        self._card = required_kind(settings, CARD)
        self._categoricals = len(settings.schema_.categorical_names)
        rule = ConflictRule.of(settings.labels)
        self._fold = FeatureFold(FeatureSpec.of(settings), rule)
        self._book = LabelBook(rule)
        self._memory = _Memory()
        self._margins: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
        self._threshold = np.inf
        self._batches = self._calls = 0

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Fold and answer payments; without a model all are approved."""
        self._calls += 1
        self._fold.settle(self._calls)
        features = self._fold.score(ids, payments.rows).features
        matrix = np.concatenate([features, payments.words.astype(np.float32)], axis=1)
        answers = self._judge(matrix, payments)
        self._fold.take_declines(payments.rows, ~answers.approved, self._calls)
        if len(ids):
            self._memory.keep(
                _Span(tuple(ids), payments.event_time_us, payments.surrogates, matrix, answers.approved)
            )
        return answers

    def _judge(self, matrix: NDArray[np.float32], payments: Payments) -> Answers:
        """Score rows of features and words, float32[n, F + C]; other models override this."""
        del payments
        if self._margins is None:
            return Answers(np.ones(len(matrix), np.bool_), np.full(len(matrix), np.nan))
        scores = self._margins(matrix).astype(np.float64)
        return Answers(scores < self._threshold, scores)

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Take labels, forget what is older than the window, fit when it is due."""
        for filing in filings:
            self._take(filing, now_us)
        oldest_us = now_us - self._policy.window_us - self._policy.maturity_us
        self._memory.forget_before(oldest_us)
        self._fold.forget_before(oldest_us)
        if self._policy.due((now_us - self._start_us) // DAY_US - 1, self.retrains) and self._memory.spans:
            self._fit(now_us)

    def _take(self, filing: Filing, now_us: int) -> None:
        self._batches += 1
        batch = f"batch-{self._batches}"
        event = LabelsSubmitted(batch, 0, filing.source, filing.submitter, filing.labels, "")
        known = {
            name: found
            for name in self._fold.lacking(event)
            if (found := self._memory.places.get(name)) is not None
        }
        self._fold.take_labels(event, known, now_us)
        for label in filing.labels:
            fact = LabelFact(label.value, filing.source, label.label_time_us, batch, filing.submitter, now_us)
            self._book.report(label.transaction_id, fact)

    def _fit(self, now_us: int) -> None:
        """Fit on rows of the window that may teach; too few frauds leave the model that is there."""
        spans = self._memory.spans
        times = np.concatenate([span.event_time_us for span in spans])
        approved = np.concatenate([span.approved for span in spans])
        cards = np.concatenate([span.surrogates[:, self._card] for span in spans])
        standing = [self._book.standing(name) for span in spans for name in span.ids]
        is_fraud = np.array([value is LabelValue.FRAUD for value in standing], np.bool_)
        is_known = np.array([value is not None for value in standing], np.bool_)
        cut_us = now_us - self._policy.maturity_us
        is_settled = (approved | is_known) & (times < cut_us)
        is_usable = is_settled | is_known if self._policy.fresh else is_settled
        is_usable &= times >= cut_us - self._policy.window_us
        held_out = cards % _HOLDOUT == 0
        if np.count_nonzero(is_usable & is_fraud & ~held_out) < _FRAUDS_MIN:
            return
        rng = np.random.default_rng([self._seed, 24, self.retrains])
        kept = is_fraud | (rng.random(len(times)) < self._recipe.legitimate_share)
        train = np.flatnonzero(is_usable & ~held_out & kept)
        matrix = np.concatenate([span.matrix for span in spans])
        weights = np.where(is_fraud[train], 1.0, 1.0 / self._recipe.legitimate_share)
        raw = fit(
            matrix[train],
            is_fraud[train],
            weights,
            self._recipe,
            categoricals=self._categoricals,
            seed=self._seed,
            nthread=self._nthread,
        )
        self._margins = partial(margins_of, load_booster(raw))
        judged = matrix[is_usable & is_settled & held_out & ~is_fraud]
        margins = self._margins(judged if len(judged) else matrix[train])
        self._threshold = float(np.quantile(margins, 1 - self._policy.fpr, method="higher"))
        self.retrains += 1
