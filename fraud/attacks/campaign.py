"""Attacks many frauds on several bundles, in one pass over the past or in none.

    frauds, in log order ─▶ fold up to just before each ─▶ a scene: choices, the state they touch, drawn ways
    scenes ─▶ each bundle, white box and black box

The fold starts where the log does, so features are what the service would have computed,
bit for bit; that is the price of scenes, about five seconds for each million events. Whoever
attacks one bundle after the other with the same frauds keeps the scenes, some 70 KB each
on the Handbook's data, and pays once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.attacks.blackbox import Probe, Prober
from fraud.attacks.payment import Capabilities, Choice, Fields, Fraud, Payment, Reach
from fraud.attacks.rehearsal import Moment, Rehearsal
from fraud.attacks.repertoire import Attempt, attempts
from fraud.attacks.target import Target
from fraud.attacks.whitebox import Evasion, cheapest
from fraud.features.fold import FeatureFold
from fraud.features.rebuild import Past, fold_past
from fraud.features.state import FeatureState
from fraud.records import MISSING_SURROGATE
from fraud.settings import Settings

KNOWN_MAX = 4_096
"""Entities of one kind that fraudsters know of."""
Progress = Callable[[int, int], None]
"""Told how many frauds are done, of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One fraud against one bundle. `stopped` tells whether it was as it stands in the log.

    `white` is the cheapest evasion that the search of the trees found, None where it found none;
    `black` what a prober got; `ways` are attempts that were drawn without asking the bundle.
    """

    fraud: Fraud
    stopped: bool
    white: Evasion | None
    black: Probe | None
    ways: tuple[Attempt, ...] = ()

    @property
    def best(self) -> Evasion | None:
        """The cheaper evasion of both searches: each tries what the other does not, and may find more."""
        found = [self.white, None if self.black is None else self.black.evasion]
        return min((each for each in found if each is not None), key=lambda each: each.cost, default=None)

    @property
    def cost(self) -> float:
        """What `best` costs, as a share of the value; 0 if it was never stopped, inf for none."""
        return self._cost_of(self.best)

    @property
    def white_cost(self) -> float:
        """What `white` costs, as `cost`."""
        return self._cost_of(self.white)

    def without(self) -> "Result":
        """Return it as if no evasion had been found."""
        return replace(self, white=None, black=None)

    def _cost_of(self, evasion: Evasion | None) -> float:
        if not self.stopped:
            return 0.0
        return float("inf") if evasion is None else evasion.cost


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many attempts are drawn of each fraud before `until_us`, and what they may cost."""

    count: int
    cost_max: float
    until_us: int = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A fraud where it happened: what may be changed of it, the state this touches, ways that were drawn."""

    fraud: Fraud
    choices: tuple[Choice, ...]
    moment: Moment
    ways: tuple[Attempt, ...] = ()


def scenes(
    fold: FeatureFold,
    past: Past,
    frauds: Sequence[Fraud],
    allowed: Capabilities,
    reach: Reach,
    drawn: Drawn | None = None,
) -> Iterator[Scene]:
    """Yield the scene of each fraud, folding the past on the way; with `drawn`, ways of each.

    `fold` is fresh; `frauds` stand in log order.
    """
    waiting = list(frauds)
    if not waiting:
        return
    rehearsal = Rehearsal(fold.state)
    pauses = [fraud.position for fraud in waiting]
    for _ in fold_past(fold, past, pauses[-1] - 1, pauses):
        while waiting and waiting[0].position == fold.position + 1:
            fraud = waiting.pop(0)
            fold.settle(fraud.arrival_us)
            choices = tuple(allowed.choices(fraud, reach, allowed.settings.seed))
            ways: tuple[Attempt, ...] = ()
            if drawn is not None and fraud.payment.event_time_us < drawn.until_us:
                ways = attempts(rehearsal, fraud, choices, allowed, drawn.count, drawn.cost_max)
            yield Scene(fraud, choices, rehearsal.keep([choice.payment for choice in choices]), ways)


def play(
    state: FeatureState,
    met: Iterable[Scene],
    targets: Sequence[Target],
    allowed: Capabilities,
    *,
    black_box: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[list[Result]]:
    """Return a list of results for each target, in the order of the scenes.

    Scenes are set into `state`, one after the other: a fresh one, or the one they are kept from
    as it moves on. With `black_box` each is probed as well. `progress` is told how many are done.
    """
    rehearsal = Rehearsal(state)
    probers = [Prober(target, allowed, allowed.settings.seed) for target in targets]
    results: list[list[Result]] = [[] for _ in targets]
    for done, scene in enumerate(met, 1):
        fraud = scene.fraud
        rehearsal.set_to(scene.moment)
        features = rehearsal.peek([fraud.payment])
        for place, target in enumerate(targets):
            stopped = not target.accepts(features, [fraud.payment.words])[0]
            white = cheapest(target, rehearsal, fraud, scene.choices, allowed) if stopped else None
            black = probers[place].probe(rehearsal, fraud, scene.choices) if black_box else None
            results[place].append(Result(fraud, stopped, white, black, scene.ways))
        if progress is not None:
            progress(done)
    return results


def frauds_of(rows: pl.DataFrame, settings: Settings, most: int) -> list[Fraud]:
    """Return archived frauds, at most so many, spread evenly over the log; amounts of 0 are left out."""
    kept = rows.filter(pl.col("amount_base_minor") > 0).sort("position")
    if len(kept) > most:
        kept = kept[np.linspace(0, len(kept) - 1, most).astype(np.int64).tolist()]
    schema = settings.schema_
    return [
        Fraud(
            row["position"],
            row["arrival_time_us"],
            Payment(
                row["event_time_us"],
                tuple(_or(row[f"entity_{name}"], MISSING_SURROGATE) for name in schema.entity_names),
                row["amount_base_minor"],
                tuple(_or(row[f"numeric_{name}"], float("nan")) for name in schema.numeric_names),
                tuple(_or(row[f"categorical_{name}"], "") for name in schema.categorical_names),
            ),
        )
        for row in kept.iter_rows(named=True)
    ]


def rows_of(frauds: Sequence[Fraud], settings: Settings) -> pl.DataFrame:
    """Return when frauds happened and whose they were, a row each: columns of the archive."""
    payments = [fraud.payment for fraud in frauds]
    entities = {
        f"entity_{name}": pl.Series([payment.surrogates[kind] for payment in payments], dtype=pl.Int32)
        for kind, name in enumerate(settings.schema_.entity_names)
    }
    times = pl.Series([payment.event_time_us for payment in payments], dtype=pl.Int64)
    return pl.DataFrame({"event_time_us": times, **entities})


def reach_of(traffic: pl.LazyFrame, settings: Settings) -> Reach:
    """Return what fraudsters know of traffic: entities spread over it, and words, the most frequent first.

    With an entity comes what is most often seen with it of the fields that its kind brings.
    """
    schema = settings.schema_
    entities, words, brought = {}, {}, {}
    for kind, name in enumerate(schema.entity_names):
        known = traffic.select(pl.col(f"entity_{name}").drop_nulls().unique()).collect().to_series()
        sorted_ = np.sort(known.to_numpy().astype(np.int64))
        sorted_ = sorted_[sorted_ >= 0]
        picked = np.linspace(0, max(0, len(sorted_) - 1), min(KNOWN_MAX, len(sorted_))).astype(np.intp)
        entities[kind] = sorted_[picked]
        control = (settings.attacks.entities or {}).get(name)
        if control is not None and control.brings:
            brought[kind] = _brought(traffic, name, entities[kind], control.brings, settings)
    for field, name in enumerate(schema.categorical_names):
        counted = traffic.group_by(word=pl.col(f"categorical_{name}")).len().drop_nulls("word").collect()
        # Words that are as frequent as each other in an order that does not depend on how files lie.
        ranked = counted.sort("len", "word", descending=[True, False])["word"]
        words[field] = [word for word in ranked.to_list() if word]
    return Reach(entities, words, brought)


def _brought(
    traffic: pl.LazyFrame, name: str, known: NDArray[np.int64], brings: Sequence[str], settings: Settings
) -> dict[int, Fields]:
    """Return by entity the values that were seen most often with it, and together."""
    schema, entity = settings.schema_, f"entity_{name}"
    numerics = [each for each in brings if each in schema.numeric_names]
    words = [each for each in brings if each in schema.categorical_names]
    columns = [*(f"numeric_{each}" for each in numerics), *(f"categorical_{each}" for each in words)]
    counted = traffic.filter(pl.col(entity).is_in(known.tolist())).group_by(entity, *columns).len().collect()
    usual = counted.sort("len", *columns, descending=[True, *(False for _ in columns)])
    return {
        row[entity]: Fields(
            {schema.numeric_names.index(it): _or(row[f"numeric_{it}"], float("nan")) for it in numerics},
            {schema.categorical_names.index(it): _or(row[f"categorical_{it}"], "") for it in words},
        )
        for row in usual.unique(entity, keep="first", maintain_order=True).iter_rows(named=True)
    }


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
