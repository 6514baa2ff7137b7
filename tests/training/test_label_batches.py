"""Which label batches a version learned from: of who gave a verdict, took one away, or voted."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import Exclusion
from fraud.records import LabelValue, Outcome
from fraud.registry.exclusions import learned_from
from fraud.settings import Settings
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import training_rows
from fraud.training.history import History
from fraud.training.splits import Span, walk_forward
from tests.training.made import DAYS, Frames, cut_at, made_history, made_settings, with_batch

SETTINGS = made_settings(recipes={"full": {"kind": "full", "rounds": 3, "max_depth": 2, "max_bin": 32}})
SPEC = FeatureSpec.of(SETTINGS)
HISTORY = made_history(SPEC)
SPANS = walk_forward(SETTINGS, cut_at(HISTORY).time_us, SETTINGS.training.recipes["full"].window)
LATE = DAYS - 1
"""The day on which the batch `late` arrives."""
MALLORY = Exclusion("labels", submitter="mallory")


def frauds_of(span: Span, most: int = 30) -> pl.Series:
    """Ids of labelled frauds of a span."""
    rows = HISTORY.transactions_.join(HISTORY.labels_, on="transaction_id", how="semi")
    inside = (pl.col("model") == "card") & pl.col("event_time_us").is_between(span.start_us, span.end_us - 1)
    return rows.filter(inside)["transaction_id"].head(most)


def version_of(history: Frames, settings: Settings = SETTINGS) -> dict[str, Any]:
    """The manifest of what is trained on a history."""
    rows = training_rows(History(history, SPEC, settings, cut_at(history)), "card")
    (made,) = train_here({"card": rows}, SPEC, settings, {})
    assert isinstance(made, Challenger), made
    return dict(made.manifest)


def late_batch(manifest: dict[str, Any]) -> dict[str, Any] | None:
    """What the manifest has of the batch `late`."""
    found = [batch for batch in manifest["label_batches"] if batch["batch_id"] == "late"]
    return found[0] if found else None


def tainted(manifest: dict[str, Any]) -> bool:
    """Tell whether to exclude mallory taints the version."""
    return learned_from(manifest, MALLORY, int(manifest["cut"]["position"]))


@pytest.mark.parametrize("span", ["train", "calibration"])
def test_who_withdraws_labels_of_rows_that_taught_is_named_and_taints(span: str) -> None:
    ids = frauds_of(getattr(SPANS, span), 12)
    history = with_batch(HISTORY, ids, LabelValue.WITHDRAWN, "chargeback", "mallory", LATE)
    rows = training_rows(History(history, SPEC, SETTINGS, cut_at(history)), "card")
    positions = HISTORY.transactions_.filter(pl.col("transaction_id").is_in(ids.implode()))["position"]
    assert set(rows.label[np.isin(rows.position, positions.to_numpy())]) == {0}, "they teach honesty now"
    manifest = version_of(history)
    batch = late_batch(manifest)
    assert batch is not None
    assert (batch["submitter"], batch["labels"], batch["frauds"]) == ("mallory", len(ids), 0)
    assert tainted(manifest)
    assert not tainted(version_of(HISTORY))


def test_who_withdraws_the_verdict_of_a_decline_is_named_though_the_row_teaches_no_more() -> None:
    ids = frauds_of(SPANS.train)
    outcome = pl.when(pl.col("transaction_id").is_in(ids.implode())).then(int(Outcome.DECLINE))
    declined = HISTORY.transactions_.with_columns(outcome=outcome.otherwise("outcome").cast(pl.Int32))
    history = replace(HISTORY, transactions_=declined)
    history = with_batch(history, ids, LabelValue.WITHDRAWN, "chargeback", "mallory", LATE)
    manifest = version_of(history)
    assert manifest["rows"]["frauds"] == version_of(HISTORY)["rows"]["frauds"] - len(ids)
    assert tainted(manifest)


def test_withdrawals_on_rows_that_did_not_teach_or_of_nothing_taint_no_version() -> None:
    judged = frauds_of(SPANS.evidence)
    honest = HISTORY.transactions_.join(HISTORY.labels_, on="transaction_id", how="anti")["transaction_id"]
    for ids, source in (
        (judged, "chargeback"),
        (honest.head(50), "analyst"),
        (frauds_of(SPANS.train), "analyst"),
    ):
        history = with_batch(HISTORY, ids, LabelValue.WITHDRAWN, source, "mallory", LATE)
        manifest = version_of(history)
        assert late_batch(manifest) is None
        assert not tainted(manifest)


@pytest.mark.parametrize(("conflict", "named"), [("LABELER_PRIORITY", False), ("MAJORITY_VOTE", True)])
def test_who_is_outvoted_is_named_and_who_is_outranked_is_not(conflict: str, *, named: bool) -> None:
    labels = SETTINGS.labels.model_copy(update={"conflict": conflict})
    settings = SETTINGS.model_copy(update={"labels": labels})
    ids = frauds_of(SPANS.train)
    history = with_batch(HISTORY, ids, LabelValue.LEGITIMATE, "customer", "mallory", LATE)
    manifest = version_of(history, settings)
    assert (late_batch(manifest) is not None) == tainted(manifest) == named
    assert manifest["rows"]["frauds"] == version_of(HISTORY)["rows"]["frauds"], "a tie goes to the best"
