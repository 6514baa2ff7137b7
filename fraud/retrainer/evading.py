"""The gate's evasion check: both sides attacked with frauds that neither learned from.

frauds that neither has seen ─ one fold of the past ─▶ scenes ─▶ champion, once │ each challenger ─▶ check
all rows of their time ─▶ which of them are one ring

Of a version with folds each fraud attacks the booster that was fitted without its fold.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.attacks.campaign import Result, Scene, rows_of
from fraud.bundle.bundle import Bundle
from fraud.evaluation.metrics import Floats
from fraud.gate.checks import Check
from fraud.gate.evasion import Attacked, evasion
from fraud.monitoring.quality import ENTITY_PREFIX
from fraud.retrainer.matrices import unseen_of
from fraud.retrainer.misses import by_cluster
from fraud.training.history import History
from fraud.training.redteam import attack_in, scenes_of
from fraud.training.unseen import Unseen

_Frauds = tuple[str, int, tuple[Unseen, Unseen]]


@dataclass(frozen=True, slots=True, eq=False)
class _Met:
    """Scenes of frauds, and the number of each one's ring, int64[n]."""

    scenes: list[Scene]
    rings: NDArray[np.int64]


class Evading:
    """The evasion checks of one cycle.

    Challengers to whom the same is unseen share scenes and the champion's results: a cycle pays for
    one fold of the past and one attack on the champion, however many recipes it has.

    Attacked is with the search of the trees alone, no prober. He learns from card to card, so what he
    gets from one fraud hangs on those before, and the check counts each ring of frauds as a draw by itself.
    That a challenger is easier to probe is seen by `fraud redteam`, not here.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._met_before: dict[_Frauds, _Met] = {}
        self._results: dict[tuple[str, _Frauds], list[Result]] = {}

    def checks(self, challenger: Bundle, champion: Bundle | None, since_us: int) -> tuple[Check, ...]:
        """Return the check on unseen frauds since a moment; none without a champion.

        None either where `attacks.gate` is off. It attacks `attacks.gate_frauds` frauds at most.
        """
        attacks = self._history.settings.attacks
        if champion is None or not attacks.gate:
            return ()
        both = unseen_of(challenger), unseen_of(champion)
        frauds: _Frauds = challenger.model, since_us, both
        attacked = Attacked(
            self._costs(challenger, frauds), self._costs(champion, frauds), self._met(frauds).rings
        )
        return (evasion(attacked, attacks.gate_costs, attacks.gate_margin),)

    def _costs(self, bundle: Bundle, frauds: _Frauds) -> Floats:
        """Return what it costs each fraud to get through a bundle, as a share of its value."""
        return np.array([result.cost for result in self._attacked(bundle, frauds)], np.float64)

    def _attacked(self, bundle: Bundle, frauds: _Frauds) -> list[Result]:
        key = bundle.digest, frauds
        if key not in self._results:
            self._results[key] = self._attack(bundle, self._met(frauds).scenes)
        return self._results[key]

    def _attack(self, bundle: Bundle, met: list[Scene]) -> list[Result]:
        """Return what becomes of each scene, in order, at the booster that has not learned from its fraud."""
        fold = unseen_of(bundle).fold(rows_of([scene.fraud for scene in met], self._history.settings))
        results: dict[int, Result] = {}
        for each in np.unique(fold).tolist():
            places = np.flatnonzero(fold == each).tolist()
            theirs = [met[place] for place in places]
            (found,) = attack_in(theirs, self._history, [bundle.without(each)], black_box=False)
            results |= dict(zip(places, found, strict=True))
        return [results[place] for place in range(len(met))]

    def _met(self, frauds: _Frauds) -> _Met:
        if frauds not in self._met_before:
            model, since_us, unseen = frauds
            most = self._history.settings.attacks.gate_frauds
            _, met = scenes_of(self._history, model, frauds=most, since_us=since_us, unseen=unseen)
            scenes = list(met)
            rings = self._rings(model, since_us)
            numbers = np.array([rings[scene.fraud.position] for scene in scenes], np.int64)
            self._met_before[frauds] = _Met(scenes, numbers)
        return self._met_before[frauds]

    def _rings(self, model: str, since_us: int) -> dict[int, int]:
        """Return the ring of each fraud since a moment by its position, as all payments since then show."""
        history = self._history
        entities = [f"{ENTITY_PREFIX}{name}" for name in history.settings.schema_.entity_names]
        judged = history.judged(model, since_us, with_features=False)
        rows = by_cluster(judged.select("position", "is_fraud", *entities).sort("position").collect())
        frauds = rows.filter(pl.col("is_fraud"))
        return dict(zip(frauds["position"].to_list(), frauds[entities[0]].to_list(), strict=True))
