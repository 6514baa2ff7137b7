"""What a view hides, row by row and table by table; its spelling; what cannot be excluded."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.errors import Damaged, InvalidInput
from fraud.labels.exclusions import ALL, Exclusion, View

ENTITIES = ("card", "merchant")
SPANS = st.tuples(st.integers(0, 9), st.integers(1, 9)).map(lambda it: {"from_us": it[0], "to_us": sum(it)})
OF_LABELS = st.builds(
    lambda span, batch, source, submitter: Exclusion(
        "labels", batch_id=batch, source=source, submitter=submitter, **span
    ),
    SPANS,
    st.sampled_from(["", "b1", "b2"]),
    st.sampled_from(["", "bank"]),
    st.sampled_from(["", "eve"]),
)
OF_TRANSACTIONS = st.builds(
    lambda span, where: Exclusion("transactions", where=where, **span),
    SPANS,
    st.sampled_from([(), (("card", 1),), (("card", 0), ("merchant", 2))]),
)
VIEWS = st.lists(st.one_of(OF_LABELS, OF_TRANSACTIONS), max_size=4).map(lambda it: View(tuple(it)))
LABELS = st.lists(
    st.tuples(
        st.sampled_from(["b1", "b2", "b3"]),
        st.sampled_from(["bank", "analyst"]),
        st.sampled_from(["eve", "ann"]),
        st.integers(0, 20),
    ),
    max_size=12,
)
TRANSACTIONS = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from([-1, 0, 1]), st.integers(-1, 3)), min_size=1, max_size=12
)


@settings(max_examples=200, deadline=None)
@given(VIEWS, LABELS)
def test_a_table_of_labels_loses_the_rows_that_are_hidden_one_by_one(
    view: View, labels: list[tuple[str, str, str, int]]
) -> None:
    names = {"batch_id": pl.String, "source": pl.String, "submitter": pl.String, "arrival_time_us": pl.Int64}
    frame = pl.LazyFrame(labels, schema=names, orient="row")
    assert view.visible_labels(frame).collect().rows() == [it for it in labels if not view.hides_label(*it)]


@settings(max_examples=200, deadline=None)
@given(VIEWS, TRANSACTIONS)
def test_a_table_of_transactions_loses_the_rows_that_are_hidden_one_by_one(
    view: View, rows: list[tuple[int, int, int]]
) -> None:
    names = {"event_time_us": pl.Int64, "entity_card": pl.Int32, "entity_merchant": pl.Int32}
    frame = pl.LazyFrame(rows, schema=names, orient="row")
    missing = frame.with_columns(pl.col("entity_card", "entity_merchant").replace(-1, None))
    times, surrogates = np.array([row[0] for row in rows]), np.array([row[1:] for row in rows], np.int32)
    hidden = view.hidden_rows(times, surrogates, ENTITIES)
    kept = rows if hidden is None else [row for row, gone in zip(rows, hidden, strict=True) if not gone]
    shown = view.visible_transactions(missing).with_columns(pl.all().fill_null(-1)).collect().rows()
    assert shown == kept


@given(VIEWS)
def test_a_view_comes_back_from_its_spelling_and_equal_views_are_spelled_alike(view: View) -> None:
    assert View.from_text(view.to_text()) == view
    shuffled = View((*reversed(view.exclusions), *view.exclusions))
    assert shuffled == view
    assert shuffled.to_text() == view.to_text()


def test_text_that_is_no_view_is_damaged() -> None:
    assert View.from_text(ALL) == View.from_text("") == View()
    for text in ("some", "{}", '[{"what":"labels"}]', '[{"which":"labels"}]'):
        with pytest.raises(Damaged, match="cannot be read"):
            View.from_text(text)


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"what": "labels"}, "selection"),
        ({"what": "labels", "batch_id": "b", "from_us": 5, "to_us": 5}, "to"),
        ({"what": "labels", "batch_id": "b", "where": (("card", 1),)}, "where"),
        ({"what": "transactions"}, "from, to"),
        ({"what": "transactions", "source": "bank", "from_us": 1}, "transactions"),
    ],
)
def test_a_selection_that_means_nothing_is_refused_by_name(given_: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Exclusion(**given_)
    assert refused.value.field == field
