"""Cards set apart: who teaches while verdicts are fresh, who judges, and that nobody does both."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.clock import DAY_US
from fraud.errors import ConfigError
from fraud.features.spec import FeatureSpec
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import training_rows
from fraud.training.history import History
from fraud.training.recipes import choose_rows
from fraud.training.splits import Span, Spans
from fraud.training.unseen import Apart, Fitted, Unseen
from tests.training.made import cut_at, made_history, made_set, made_settings

FRESH = made_settings(fresh={"apart": 0.3})
SPEC = FeatureSpec.of(FRESH)
CARD = Apart("card", 0.3)


def cards(numbers: list[int | None]) -> pl.DataFrame:
    return pl.DataFrame({"entity_card": pl.Series(numbers, dtype=pl.Int32)})


def test_the_share_of_the_cards_is_set_apart_and_no_payment_without_a_card() -> None:
    marked = CARD.rows(cards(list(range(20_000))))
    assert abs(marked.mean() - 0.3) < 0.01
    assert not CARD.rows(cards([None, -1] * 50)).any()


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=30))
def test_whether_a_card_is_apart_depends_on_its_number_alone(numbers: list[int]) -> None:
    alone = [bool(CARD.rows(cards([number]))[0]) for number in numbers]
    assert CARD.rows(cards(list(numbers))).tolist() == alone


def test_without_the_option_rows_and_bundles_are_what_they_were() -> None:
    rows = made_set(made_settings())
    assert not rows.apart.any()
    assert "apart" not in rows.manifest


def test_known_verdicts_teach_up_to_the_cut_and_unlabelled_payments_wait() -> None:
    rows = made_set(FRESH)
    results = train_here({"card": rows}, SPEC, FRESH, {})
    full = next(each for each in results if isinstance(each, Challenger) and each.recipe == "full")
    chosen = choose_rows(FRESH.training.recipes["full"], rows, full.spans).rows
    young = rows.event_time_us[chosen] >= rows.cut.time_us - FRESH.labels.maturity
    assert np.count_nonzero(young) > 5
    assert np.all(rows.label[chosen[young]] == 1), "only frauds have verdicts in this history"
    plain = made_set(made_settings())
    assert rows.event_time_us[chosen].max() - plain.event_time_us[plain.label == 1].max() > DAY_US


def test_frauds_that_are_known_first_do_not_make_fraud_look_commoner() -> None:
    rows = made_set(FRESH)
    results = train_here({"card": rows}, SPEC, FRESH, {})
    full = next(each for each in results if isinstance(each, Challenger) and each.recipe == "full")
    chosen = choose_rows(FRESH.training.recipes["full"], rows, full.spans)
    is_fraud = rows.label[chosen.rows] == 1
    matured = full.spans.train.holds(rows.event_time_us) & (rows.label >= 0)
    natural = (rows.label[matured] == 1).mean()
    assert is_fraud.mean() > 1.02 * natural, "unweighted, fresh frauds are too many"
    assert chosen.weights[is_fraud].sum() / chosen.weights.sum() == pytest.approx(natural, rel=0.05)


def test_what_a_version_has_learned_from_is_never_unseen_by_it() -> None:
    history = made_history(SPEC)
    rows = training_rows(History(history, SPEC, FRESH, cut_at(history)), "card")
    archived = history.transactions_.filter(pl.col("position").is_in(rows.position.tolist()))
    for result in train_here({"card": rows}, SPEC, FRESH, {}):
        if not isinstance(result, Challenger):
            continue
        spans = result.spans
        taught = np.zeros(len(rows), np.bool_)
        taught[choose_rows(FRESH.training.recipes[result.recipe], rows, spans).rows] = True
        taught |= spans.calibrates(rows.event_time_us, rows.apart)
        unseen = Unseen.by(result.manifest).rows(archived)
        assert not np.any(taught & unseen)
        evidence = spans.evidence.holds(rows.event_time_us)
        assert np.array_equal(unseen & evidence, evidence & rows.apart)
        assert np.count_nonzero(unseen & evidence & (rows.label == 1)) > 0


def test_events_behind_the_cut_are_unseen_whoever_paid() -> None:
    manifest = {
        "spans": {"train_us": [0, 40], "evidence_us": [50, 60], "fresh_us": [40, 70]},
        "apart": CARD.to_dict(),
    }
    apart = int(np.flatnonzero(CARD.rows(cards(list(range(100)))))[0])
    other = int(np.flatnonzero(~CARD.rows(cards(list(range(100)))))[0])
    rows = cards([apart, apart, other, other]).with_columns(event_time_us=pl.Series([49, 50, 69, 70]))
    assert Unseen.by(manifest).rows(rows).tolist() == [False, True, False, True]


VERSIONS = st.tuples(
    st.sampled_from([None, CARD, Apart("card", 0.5)]),
    *(st.integers(0, 20), st.integers(0, 5), st.integers(1, 10), st.integers(1, 20)),
)
"""Who is set apart; the end of training, and the lengths of embargo, calibration and evidence."""
ROWS = pl.DataFrame({"event_time_us": range(60)}).join(cards(list(range(12))), how="cross")


@given(st.lists(VERSIONS, min_size=1, max_size=4))
def test_what_a_version_or_one_that_it_continues_was_fitted_on_is_never_unseen_by_it(
    chain: list[tuple[Apart | None, int, int, int, int]],
) -> None:
    times = ROWS["event_time_us"].to_numpy()
    taught, fitted = np.zeros(len(ROWS), np.bool_), None
    for apart, end, embargo, calibration, evidence in chain:
        start = end + (embargo if apart is None else 0)
        ends = np.cumsum([start, calibration, evidence]).tolist()
        fresh = None if apart is None else Span(start, ends[-1])
        spans = Spans(Span(0, end), Span(*ends[:2]), Span(*ends[1:]), fresh)
        marked = np.zeros(len(ROWS), np.bool_) if apart is None else apart.rows(ROWS)
        if fitted is not None and fitted.spares(spans, apart):
            judging = spans.evidence.holds(times) & (marked | (apart is None))
            assert not np.any(taught & (spans.calibrates(times, marked) | judging))
        fitted = Fitted.on(spans, apart, fitted)
        taught |= spans.teaches(times, marked)
        manifest = {"spans": spans.to_dict(), "fitted": fitted.to_dict()}
        manifest |= {} if apart is None else {"apart": apart.to_dict()}
        assert Fitted.by(manifest) == fitted
        assert not np.any(taught & Unseen.by(manifest).rows(ROWS))


def test_an_entity_that_the_schema_lacks_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"training\.fresh\.entity"):
        made_settings(fresh={"entity": "person"})
