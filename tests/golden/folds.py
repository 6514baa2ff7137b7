"""A version with folds as this release trains it, and what it says of payments that taught it.

made history ─▶ a retrain with `training.fresh.folds` ─▶ bundles/<digest>/
  ─▶ some rows of the archive, the fold and the unseen score of each ─▶ expected.json
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.errors import NotAllowedNow
from fraud.features.spec import FeatureSpec
from fraud.retrainer.matrices import READABLE, unseen_of, unseen_scores
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import training_rows
from fraud.training.history import History
from tests.training.made import cut_at, made_history, made_settings

DEALT_FOLDER = "folds"
"""The folder beside the data of a release."""
SETTINGS = made_settings(fresh={"folds": 2, "silence": "10d"})
RECIPE = "recent"
ROWS = 30
_TYPES = {"event": pl.Int64(), "entity": pl.Int32(), "categorical": pl.String(), "f": pl.Float32()}


def make_folds(place: Path) -> None:
    """Write the golden version with folds of this release to `place`.

    Raises:
        NotAllowedNow: there is one.
    """
    if place.exists():
        raise NotAllowedNow(f"{place}: is there; what a release wrote is never written again")
    spec = FeatureSpec.of(SETTINGS)
    history = made_history(spec)
    rows = training_rows(History(history, spec, SETTINGS, cut_at(history)), "card")
    trained = train_here({"card": rows}, spec, SETTINGS, {})
    bundle = next(it.bundle for it in trained if isinstance(it, Challenger) and it.recipe == RECIPE)
    shown = _shown(bundle, history.transactions_.filter(pl.col("model") == "card"))
    expected = {
        "digest": BundleStore(place / "bundles").write(bundle),
        "rows": shown.with_columns(pl.col(pl.Float32).fill_nan(None)).to_dict(as_series=False),
        "fold": unseen_of(bundle).fold(shown).tolist(),
        "scores": unseen_scores(bundle, shown).tolist(),
    }
    (place / "expected.json").write_text(json.dumps(expected, sort_keys=True), encoding="utf-8")


def rows_of(expected: dict[str, Any]) -> pl.DataFrame:
    """Return the rows as the archive has them."""
    types = {name: _TYPES[name.partition("_")[0]] for name in expected["rows"]}
    return pl.DataFrame(expected["rows"], schema=types)


def _shown(bundle: Bundle, rows: pl.DataFrame) -> pl.DataFrame:
    """Choose rows of the span that judges, of behind the cut, and without a card; a third each."""
    times, cut_us = rows["event_time_us"], bundle.manifest["cut"]["time_us"]
    judges: NDArray[np.bool_] = unseen_of(bundle).rows(rows)
    evidence = pl.Series(judges) & (times < cut_us)
    unnamed = (rows["entity_card"] < 0) & (times > cut_us - 30 * DAY_US)
    behind = rows.tail(ROWS // 3).with_columns(pl.col("event_time_us") + 30 * DAY_US)
    parts = [rows.filter(evidence).head(ROWS // 3), behind, rows.filter(unnamed).head(ROWS // 3)]
    return pl.concat(parts).select(READABLE)
