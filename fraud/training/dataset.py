"""The rows that training may see at a cut: a pure function of the archive's prefix.

    archive up to (position, time)
      transactions of the model  +  the verdict that stands for each  +  payment outcomes
        → all its traffic, ordered by log position; `label` says what a row may teach:
          1 fraud, 0 legitimate, −1 nothing (fresh, or an unexplored decline)

Rows that teach nothing stay: thresholds on a share of traffic, the risk scale
and the references describe all traffic, not only what was let through. Features
are those logged at the decision (log and train).

Older than every window stay only frauds, for recipes that replay them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.folds import SERVED
from fraud.bundle.manifest import library_versions
from fraud.records import MISSING_SURROGATE, LabelValue, Outcome
from fraud.settings import Settings
from fraud.training.history import Cut, History
from fraud.training.silence import silence_us
from fraud.training.splits import walk_forward
from fraud.training.unseen import Apart
from fraud.training.weights import draws_of

NOT_USABLE = -1
"""Label of a row that must not teach."""


@dataclass(frozen=True, slots=True, eq=False)
class Variants:
    """Payments that were never made: frauds of a training set, done otherwise.

    `features` float32[m, f] and `words` stand in the set's order of names, `of`
    int64[m] are the rows of the frauds. Payments of one attempt have the same
    number in `attempt`, int64[m], rising; `cost` float64[m] is what the attempt costs.
    `evades` bool[m] tells those that the champion accepts, each as a search found it;
    the others were drawn without asking it.
    """

    features: NDArray[np.float32]
    words: tuple[tuple[str, ...], ...]
    of: NDArray[np.int64]
    cost: NDArray[np.float64]
    attempt: NDArray[np.int64]
    evades: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Traffic of one model as known at a cut, one row a transaction in log order.

    Columns only, so that workers share one copy. `features` is float32[n, f] in
    the order of `feature_names`; `codes` int32[n, c] index `words[i]`, −1 where
    not given; `amount_minor` int64[n] is in base currency; `label` is int8[n];
    `propensity` float64[n] is 1 unless explored; `stood_for` bool[n] marks declines that were not
    explored and might have been: explored ones stand for them at 1 ÷ propensity; `draws`
    float64[n] in [0, 1) are hashes of the transaction ids; `card` int32[n] is the number of the first
    entity, `MISSING_SURROGATE` where not given.
    From `window_start_us` on, where the longest window begins, all traffic is there, before it frauds alone.
    `fold` is int8[n], of the rows of entities that judge while they are fresh (−1 without
    `training.fresh`), and `folds` how many there are: 0 where those that judge are held back from
    teaching. `facts` has a row for each label without which a row might teach something else: `place` of
    the row, `position` in the log of its part of a batch, and whether it `is_fraud`; `batch_parts` has a
    row for each of these positions. `variants` are for hardened recipes; None where nobody asked for
    them.
    """

    model: str
    cut: Cut
    feature_names: tuple[str, ...]
    categorical_names: tuple[str, ...]
    field_names: tuple[str, ...]
    features: NDArray[np.float32]
    codes: NDArray[np.int32]
    words: tuple[tuple[str, ...], ...]
    position: NDArray[np.int64]
    event_time_us: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    label: NDArray[np.int8]
    propensity: NDArray[np.float64]
    stood_for: NDArray[np.bool_]
    draws: NDArray[np.float64]
    card: NDArray[np.int32]
    fold: NDArray[np.int8]
    folds: int
    window_start_us: int
    facts: pl.DataFrame
    batch_parts: pl.DataFrame
    manifest: dict[str, Any]
    variants: Variants | None = None

    def __len__(self) -> int:
        return len(self.position)

    @property
    def judging(self) -> NDArray[np.bool_]:
        """The rows of entities that judge while they are fresh, bool[n]."""
        return np.not_equal(self.fold, SERVED)

    @property
    def held(self) -> NDArray[np.bool_]:
        """The rows that teach nothing while they are fresh, bool[n]."""
        return self.judging if not self.folds else np.zeros(len(self), np.bool_)

    def without(self, fold: int) -> Self:
        """Return the set for the booster that is fitted without a fold: its rows judge, and are held back."""
        return replace(self, fold=np.where(self.fold == fold, np.int8(0), np.int8(SERVED)), folds=0)


def training_rows(history: History, model: str) -> TrainingSet:
    """Read the training set of a model.

    The manifest holds the cut, the view, the label batches that shaped what
    any of the rows teaches, counts, and what else the rows depend on; each
    recipe adds its own keys.
    """
    spec, settings, cut = history.spec, history.settings, history.cut
    chosen = settings.models[model]
    names = spec.select(chosen.features)
    apart = Apart.of(settings)
    window_start_us = _oldest_us(settings, cut)
    categoricals = settings.categoricals_of(model)
    frame = (
        history.judged(model, window_start_us, older_frauds=True, silence_us=silence_us(settings))
        .select(
            "position",
            "event_time_us",
            "transaction_id",
            "amount_base_minor",
            *[pl.col(f"f_{name}") for name in names],
            *[pl.col(f"categorical_{name}") for name in categoricals],
            *([] if apart is None else [f"entity_{apart.entity}"]),
            card=_card(settings),
            label=pl.col("is_fraud").cast(pl.Int8).fill_null(NOT_USABLE),
            # Only exploration made a row visible by chance; other rows were sure to be seen.
            propensity=pl.when("explored").then("propensity").otherwise(1.0),
            stood_for=_had_a_chance(),
        )
        .sort("position")
        .collect()
    )
    codes, words = _encode(frame, categoricals)
    label = frame["label"].to_numpy()
    facts = _facts(frame, history)
    parts = _parts(facts, history)
    return TrainingSet(
        model=model,
        cut=cut,
        feature_names=names,
        categorical_names=categoricals,
        field_names=tuple(name for name in names if name in ("amount", *spec.numeric_names)),
        features=_features(frame, names),
        codes=codes,
        words=words,
        position=frame["position"].to_numpy(),
        event_time_us=frame["event_time_us"].to_numpy(),
        amount_minor=frame["amount_base_minor"].to_numpy(),
        label=label,
        propensity=frame["propensity"].to_numpy(),
        stood_for=frame["stood_for"].to_numpy(),
        draws=draws_of(frame["transaction_id"]),
        card=frame["card"].to_numpy(),
        fold=np.full(len(frame), SERVED, np.int8) if apart is None else apart.fold(frame),
        folds=0 if apart is None else apart.folds,
        window_start_us=window_start_us,
        facts=facts,
        batch_parts=parts,
        manifest=_manifest(frame, batches_used(facts, parts, label != NOT_USABLE), history, model, names),
    )


def _card(settings: Settings) -> pl.Expr:
    """Return the number of the first entity, int32."""
    first = settings.schema_.entity_names[0]
    return pl.col(f"entity_{first}").cast(pl.Int32).fill_null(MISSING_SURROGATE)


def _had_a_chance() -> pl.Expr:
    """Mark unexplored declines that might have been explored: the log gives them 1 − rate, others 1."""
    declined = (pl.col("outcome") == int(Outcome.DECLINE)) & ~pl.col("explored")
    return (declined & (pl.col("propensity") < 1)).fill_null(value=False)


def batches_used(facts: pl.DataFrame, parts: pl.DataFrame, used: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the label batches that shaped what some rows teach, in log order, as JSON values.

    `facts` and `parts` are those of the training set, `used` bool[n] marks the rows. A batch has the
    number of its labels on them, withdrawals included, and of those that say fraud. One with
    several parts has the arrival of the first and of the last that was used, and SHA-256 over
    their digests.
    """
    counts = (
        facts.filter(pl.Series(used[facts["place"].to_numpy()], dtype=pl.Boolean))
        .group_by("position")
        .agg(labels=pl.len().cast(pl.Int64), frauds=pl.col("is_fraud").sum().cast(pl.Int64))
    )
    found = (
        parts.join(counts, on="position")
        .sort("position")
        .group_by("batch_id", "source", "submitter", maintain_order=True)
        .agg(
            pl.col("position").first(),
            pl.len().cast(pl.Int64).alias("parts"),
            pl.col("arrival_time_us").alias("arrivals"),
            pl.col("labels", "frauds").sum(),
            pl.col("digest"),
        )
    )
    return [
        {
            **{name: row[name] for name in ("batch_id", "source", "submitter", "position", "parts")},
            **{name: row[name] for name in ("labels", "frauds")},
            "arrival_us": [min(row["arrivals"]), max(row["arrivals"])],
            "digest": _joined(row["digest"]),
        }
        for row in found.iter_rows(named=True)
    ]


def _joined(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _oldest_us(settings: Settings, cut: Cut) -> int:
    windows = (recipe.window for recipe in settings.training.recipes.values())
    return walk_forward(settings, cut.time_us, max(windows)).train.start_us


def _features(frame: pl.DataFrame, names: Sequence[str]) -> NDArray[np.float32]:
    columns = [frame[f"f_{name}"].cast(pl.Float32).fill_null(float("nan")).to_numpy() for name in names]
    rows = np.empty((len(frame), len(names)), np.float32)
    for place, column in enumerate(columns):
        rows[:, place] = column
    return rows


def _encode(
    frame: pl.DataFrame, categoricals: Sequence[str]
) -> tuple[NDArray[np.int32], tuple[tuple[str, ...], ...]]:
    codes = np.full((len(frame), len(categoricals)), -1, np.int32)
    dictionaries = []
    for place, name in enumerate(categoricals):
        column = frame[f"categorical_{name}"].replace("", None)
        words = column.drop_nulls().unique().sort()
        dictionaries.append(tuple(words.to_list()))
        if len(words):
            physical = column.cast(pl.Enum(words)).to_physical()
            codes[:, place] = physical.cast(pl.Int32).fill_null(-1).to_numpy()
    return codes, tuple(dictionaries)


def _facts(frame: pl.DataFrame, history: History) -> pl.DataFrame:
    """Return the labels without which the rows might teach something else."""
    places = frame.lazy().select("transaction_id", place=pl.int_range(pl.len(), dtype=pl.Int64))
    return (
        history.standing_facts(places.select("transaction_id"))
        .join(places, on="transaction_id")
        .select("place", "position", is_fraud=pl.col("value") == int(LabelValue.FRAUD))
        .sort("place", "position")
        .collect()
    )


def _parts(facts: pl.DataFrame, history: History) -> pl.DataFrame:
    """Return the parts of label batches that hold the facts."""
    positions = facts.lazy().select("position").unique()
    # Every label repeats what its part is; the first of each says it once.
    return (
        history.labels()
        .filter(pl.col("row") == 0)
        .join(positions, on="position", how="semi")
        .select("position", "batch_id", "source", "submitter", "arrival_time_us", "digest")
        .sort("position")
        .collect()
    )


def _manifest(
    frame: pl.DataFrame, batches: list[dict[str, Any]], history: History, model: str, names: Sequence[str]
) -> dict[str, Any]:
    spec, settings, cut = history.spec, history.settings, history.cut
    apart = Apart.of(settings)
    label = frame["label"]
    ends = [frame["position"].min(), frame["position"].max()]
    return {
        "model": model,
        "cut": {"position": cut.position, "time_us": cut.time_us},
        "label_cut_us": cut.time_us,
        "label_maturity_us": settings.labels.maturity,
        "label_batches": batches,
        "label_fed_features": [name for name in names if name in spec.label_fed],
        "exclusions": [exclusion.to_dict() for exclusion in history.view.exclusions],
        "positions": {"traffic": ends},
        "rows": {
            "traffic": len(frame),
            "usable": int((label != NOT_USABLE).sum()),
            "frauds": int((label == 1).sum()),
            "kept_aside": len(history.without),
        },
        "feature_definitions": {name: spec.definitions[name] for name in names},
        "spec_fingerprint": spec.fingerprint,
        "seed": settings.training.seed,
        **({} if apart is None else {"apart": apart.to_dict(), "label_silence_us": silence_us(settings)}),
        "libraries": library_versions(),
    }
