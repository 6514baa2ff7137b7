"""A service's first champion, kept for ever: what the same payments would meet if nothing were retrained.

    payments ─ kernel ─▶ features ─ bundle of the first champion ─▶ its scores, its thresholds

Until the service promotes a second version, both answer alike, score by score: they share bundle,
feature kernel and labels. For that, entities are numbered as the service's log numbers them, in order
of appearance, since sketches of distinct values go by these numbers.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fraud.adversary.around import Around
from fraud.adversary.contest import Answers, Defender
from fraud.adversary.defenders import KernelDefender, Policy
from fraud.adversary.honest import Floats, HonestTraffic, Payments
from fraud.bundle.bundle import Bundle
from fraud.features.spec import FeatureSpec
from fraud.records import MISSING_SURROGATE, Outcome

_NEVER = Policy("never retrained", first_day=2**31)


class FirstChampion(KernelDefender):
    """A `Defender` that approves everything until it adopts a version, and keeps that one."""

    def __init__(self, traffic: HonestTraffic) -> None:
        super().__init__(traffic, _NEVER, seed=0)
        self._traffic = traffic
        self._spec = FeatureSpec.of(traffic.settings)
        self._numbers: list[dict[int, int]] = [{} for _ in traffic.settings.schema_.entity_names]
        self._bundle: Bundle | None = None
        self.version = ""

    def adopt(self, version: str, bundle: Bundle) -> None:
        """Take the version that answers from here on.

        Raises:
            ValueError: there is one already.
        """
        if self.version:
            raise ValueError(f"{self.version} is kept for ever; {version} comes too late")
        self.version, self._bundle = version, bundle
        self.retrains = 1

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Answer payments as the version would, in the state that the service would have."""
        return super().decide(ids, replace(payments, surrogates=self._numbered(payments.surrogates)))

    def _judge(self, matrix: NDArray[np.float32], payments: Payments) -> Answers:
        bundle = self._bundle
        if bundle is None:
            return super()._judge(matrix, payments)
        names = self._traffic.settings.schema_.categorical_names
        places = [names.index(name) for name in bundle.categorical_names]
        known = self._traffic.words
        words = [tuple(known[place][row[place]] for place in places) for row in payments.words.tolist()]
        wanted = self._spec.indices(bundle.feature_names, bundle.feature_definitions)
        scores = bundle.scores_of(bundle.matrix(matrix, wanted, words))
        return Answers(bundle.thresholds.outcomes(scores) == int(Outcome.APPROVE), scores)

    def _numbered(self, surrogates: NDArray[np.int32]) -> NDArray[np.int32]:
        found = np.full_like(surrogates, MISSING_SURROGATE)
        for kind, known in enumerate(self._numbers):
            column = surrogates[:, kind].tolist()
            found[:, kind] = [
                MISSING_SURROGATE if number == MISSING_SURROGATE else known.setdefault(number, len(known))
                for number in column
            ]
        return found


class Heard(Around):
    """A `Defender` around another whose scores of the day are kept, to be compared."""

    def __init__(self, defender: Defender) -> None:
        super().__init__(defender)
        self._scores: list[Floats] = []

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Pass the defender's answers on, and keep the scores."""
        answers = super().decide(ids, payments)
        self._scores.append(answers.scores)
        return answers

    def take(self) -> Floats:
        """Hand out the scores since the last call, in order, NaN without a model."""
        taken = np.concatenate(self._scores) if self._scores else np.empty(0)
        self._scores = []
        return taken
