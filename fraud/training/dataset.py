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

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.manifest import library_versions
from fraud.features.spec import FeatureSpec
from fraud.labels.maturity import judged
from fraud.labels.standing import ConflictRule
from fraud.labels.table import standing_table
from fraud.settings import Settings
from fraud.training.splits import walk_forward
from fraud.training.weights import draws_of

NOT_USABLE = -1
"""Label of a row that must not teach."""


class History(Protocol):
    """What a training set is read from: the archive, or frames of the same columns."""

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return transactions with position ≤ `upto`."""
        ...

    def labels(self, upto: int | None = None) -> pl.LazyFrame:
        """Return labels with position ≤ `upto`."""
        ...

    def outcomes(self, upto: int | None = None) -> pl.LazyFrame:
        """Return payment outcomes with position ≤ `upto`."""
        ...


@dataclass(frozen=True, slots=True)
class Cut:
    """The prefix of the event log that is known: its last position, and the moment."""

    position: int
    time_us: int


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Traffic of one model as known at a cut, one row a transaction in log order.

    Arrays only, so that workers share one copy. `features` is float32[n, f] in
    the order of `feature_names`; `codes` int32[n, c] index `words[i]`, −1 where
    not given; `label` is int8[n]; `propensity` float64[n] is 1 unless explored;
    `draws` float64[n] in [0, 1) are hashes of the transaction ids.
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
    label: NDArray[np.int8]
    propensity: NDArray[np.float64]
    draws: NDArray[np.float64]
    manifest: dict[str, Any]

    def __len__(self) -> int:
        return len(self.position)


def training_rows(
    archive: History, spec: FeatureSpec, settings: Settings, model: str, cut: Cut
) -> TrainingSet:
    """Read the training set of a model.

    The manifest holds the cut, the label batches that reached any of the rows,
    counts, and what else the rows depend on; each recipe adds its own keys.
    """
    chosen = settings.models[model]
    names = spec.select(chosen.features)
    categoricals = _matching(settings.schema_.categorical_names, chosen.categoricals)
    known = pl.col("arrival_time_us") <= cut.time_us
    labels = archive.labels(cut.position).filter(known)
    frame = (
        judged(
            archive.transactions(cut.position).filter(pl.col("model") == model),
            standing_table(labels, ConflictRule.of(settings.labels)),
            archive.outcomes(cut.position).filter(known),
            settings.labels,
            cut.time_us,
        )
        .filter((pl.col("event_time_us") >= _oldest_us(settings, cut)) | pl.col("is_fraud"))
        .select(
            "position",
            "event_time_us",
            "transaction_id",
            *[pl.col(f"f_{name}") for name in names],
            *[pl.col(f"categorical_{name}") for name in categoricals],
            label=pl.col("is_fraud").cast(pl.Int8).fill_null(NOT_USABLE),
            # Only exploration made a row visible by chance; other rows were sure to be seen.
            propensity=pl.when("explored").then("propensity").otherwise(1.0),
        )
        .sort("position")
        .collect()
    )
    codes, words = _encode(frame, categoricals)
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
        label=frame["label"].to_numpy(),
        propensity=frame["propensity"].to_numpy(),
        draws=draws_of(frame["transaction_id"]),
        manifest=_manifest(frame, labels, spec, settings, model, cut),
    )


def _oldest_us(settings: Settings, cut: Cut) -> int:
    windows = (recipe.window for recipe in settings.training.recipes.values())
    return walk_forward(settings, cut.time_us, max(windows)).train.start_us


def _matching(names: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


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


def _manifest(
    frame: pl.DataFrame,
    labels: pl.LazyFrame,
    spec: FeatureSpec,
    settings: Settings,
    model: str,
    cut: Cut,
) -> dict[str, Any]:
    batches = (
        labels.join(frame.lazy().select("transaction_id"), on="transaction_id", how="semi")
        .group_by("batch_id", "part")
        .agg(
            pl.col("position").min(),
            pl.col("source", "submitter", "digest").first(),
            labels=pl.len().cast(pl.Int64),
        )
        .sort("position", "batch_id", "part")
        .select("batch_id", "part", "source", "submitter", "labels", "digest")
        .collect()
    )
    label = frame["label"]
    ends = [frame["position"].min(), frame["position"].max()]
    return {
        "model": model,
        "cut": {"position": cut.position, "time_us": cut.time_us},
        "label_cut_us": cut.time_us,
        "label_batches": batches.to_dicts(),
        "exclusions": [],
        "positions": {"traffic": ends},
        "rows": {
            "traffic": len(frame),
            "usable": int((label != NOT_USABLE).sum()),
            "frauds": int((label == 1).sum()),
        },
        "spec_fingerprint": spec.fingerprint,
        "seed": settings.training.seed,
        "libraries": library_versions(),
    }
