"""Cards set apart, or dealt into folds: who teaches while verdicts are fresh, who judges, and nobody both."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.bundle.boosting import load_booster, margins_of
from fraud.bundle.calibrator import Calibrator
from fraud.bundle.folds import SERVED
from fraud.clock import DAY_US
from fraud.errors import ConfigError, NotAllowedNow
from fraud.features.spec import FeatureSpec
from fraud.training.assemble import calibration_rows
from fraud.training.challengers import Challenger, _plans, train_here, train_one
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.history import History
from fraud.training.recipes import choose_rows, matrix_of, start_of
from fraud.training.splits import Span, Spans, walk_forward
from fraud.training.unseen import Apart, Fitted, Unseen
from fraud.training.weights import inverse_propensity
from tests.training.made import cut_at, made_history, made_set, made_settings

FRESH = made_settings(fresh={"apart": 0.3, "silence": "10d"})
FOLDS = made_settings(fresh={"folds": 3, "silence": "10d"})
SPEC = FeatureSpec.of(FRESH)
CARD = Apart("card", 0.3)
DEALT = Apart("card", 1.0, folds=3)


def first_of(rows: TrainingSet) -> Challenger:
    """The first challenger of a set with folds."""
    return next(it for it in train_here({"card": rows}, SPEC, FOLDS, {}) if isinstance(it, Challenger))


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
    assert not rows.judging.any()
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


def test_a_silence_teaches_where_it_is_asked_for_and_no_later_than_the_maturity() -> None:
    for silence, days in (("6d", 6), ("30d", 10)):
        rows = made_set(made_settings(fresh={"apart": 0.3, "silence": silence}))
        age_us = rows.cut.time_us - rows.event_time_us[rows.label == 0].max()
        assert days * DAY_US <= age_us < (days + 1) * DAY_US


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
        taught |= spans.calibrates(rows.event_time_us, rows.judging)
        unseen = Unseen.by(result.manifest).rows(archived)
        assert not np.any(taught & unseen)
        evidence = spans.evidence.holds(rows.event_time_us)
        assert np.array_equal(unseen & evidence, evidence & rows.judging)
        assert np.count_nonzero(unseen & evidence & (rows.label == 1)) > 0


def test_with_folds_every_card_teaches_and_no_booster_judges_what_it_learned() -> None:
    history = made_history(SPEC)
    rows = training_rows(History(history, SPEC, FOLDS, cut_at(history)), "card")
    archived = history.transactions_.filter(pl.col("position").is_in(rows.position.tolist()))
    assert set(rows.fold[rows.judging].tolist()) == {0, 1, 2}
    for result in train_here({"card": rows}, SPEC, FOLDS, {}):
        if not isinstance(result, Challenger):
            continue
        recipe, spans = FOLDS.training.recipes[result.recipe], result.spans
        unseen, bundle = Unseen.by(result.manifest), result.bundle
        evidence = spans.evidence.holds(rows.event_time_us)
        assert np.array_equal(unseen.rows(archived) & evidence, evidence & rows.judging)
        taught = choose_rows(recipe, rows, spans).rows
        assert np.any(evidence[taught]), "what is served has learned from what judges it"
        fold = unseen.fold(archived)
        for number in range(3):
            own = choose_rows(recipe, rows.without(number), spans).rows
            judged = unseen.rows(archived) & (fold == number)
            assert np.count_nonzero(judged & (rows.label == 1)) > 0
            assert not np.any(judged[own])
            matrix = matrix_of(rows, np.flatnonzero(judged), bundle.vocabularies)
            alone = margins_of(load_booster(bundle.folds[number]), matrix)
            assert np.array_equal(bundle.margins_without(matrix, fold[judged]), alone)
            assert not np.array_equal(bundle.margins(matrix), alone)


@pytest.mark.parametrize("label", [0, 1])
def test_no_fresh_label_of_a_fold_reaches_the_booster_that_judges_it(label: int) -> None:
    rows = made_set(FOLDS)
    spans = first_of(rows).spans
    fresh = (rows.event_time_us >= spans.calibration.start_us) & (rows.fold == 0) & (rows.label >= 0)
    told = replace(rows, label=np.where(fresh, np.int8(label), rows.label))
    before, after = (first_of(each).bundle.folds for each in (rows, told))
    assert before[0] == after[0]
    assert before[1] != after[1], "it teaches the others"


def test_a_version_with_folds_is_calibrated_by_boosters_that_have_not_learned_the_row() -> None:
    rows = made_set(FOLDS)
    full = first_of(rows)
    seen = calibration_rows(rows, full.spans)
    matrix = matrix_of(rows, seen, full.bundle.vocabularies)
    margins = full.bundle.margins_without(matrix, rows.fold[seen])
    weights = inverse_propensity(rows.propensity[seen])
    assert full.bundle.calibrator == Calibrator.fit(margins, rows.label[seen] == 1, weights)


def test_what_folds_have_taught_is_unseen_by_what_is_served_only_behind_the_cut() -> None:
    manifest = {
        "spans": {"train_us": [0, 40], "evidence_us": [50, 60], "fresh_us": [40, 70]},
        "apart": DEALT.to_dict(),
    }
    assert Apart.by(manifest) == DEALT
    rows = cards([5, 5, 5, None]).with_columns(event_time_us=pl.Series([49, 50, 70, 69]))
    unseen = Unseen.by(manifest)
    assert unseen.rows(rows).tolist() == [False, True, True, False]
    assert unseen.by_served.rows(rows).tolist() == [False, False, True, False]
    assert unseen.fold(rows)[2] == SERVED != unseen.fold(rows)[1]
    assert Unseen.by({**manifest, "apart": CARD.to_dict()}).by_served.apart == CARD


def test_a_continued_version_continues_each_fold_from_the_same_fold() -> None:
    rows = made_set(FOLDS)
    first = first_of(rows)
    spans = walk_forward(FOLDS, rows.cut.time_us + 30 * DAY_US, 20 * DAY_US)
    recipe = FOLDS.training.recipes["continue"]
    parent = start_of(recipe, [recipe], rows, spans, first.bundle).parent
    assert parent is not None
    assert [parent.without(number).booster for number in range(3)] == list(first.bundle.folds)
    assert len({parent.booster, *parent.folds}) == 4
    set_apart = replace(rows, manifest={**rows.manifest, "apart": CARD.to_dict()})
    parent = start_of(recipe, [recipe], set_apart, spans, first.bundle).parent
    assert parent is not None
    assert parent.folds == ()


def test_a_fold_with_nothing_to_calibrate_on_stops_only_a_hardened_recipe_and_is_named() -> None:
    rows = made_set(FOLDS)
    spans = first_of(rows).spans
    own = (rows.fold == 1) & spans.calibration.holds(rows.event_time_us)
    silent = replace(rows, label=np.where(own, np.int8(-1), rows.label))
    assert len(first_of(silent).bundle.folds) == 3
    plan = _plans({"card": silent}, SPEC, FOLDS, {})[0][0]
    hardened = replace(plan, recipe=plan.recipe.model_copy(update={"kind": "hardened"}))
    with pytest.raises(NotAllowedNow, match=r"fold 2 of 3 \(training\.fresh\.folds.*no usable row"):
        train_one(silent, hardened, 1)


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
    st.sampled_from([None, CARD, Apart("card", 0.5), DEALT, Apart("card", 1.0, folds=2)]),
    *(st.integers(0, 20), st.integers(0, 5), st.integers(1, 10), st.integers(1, 20)),
)
"""Who is set apart; the end of training, and the lengths of embargo, calibration and evidence."""
ROWS = pl.DataFrame({"event_time_us": range(60)}).join(cards(list(range(12))), how="cross")


@given(st.lists(VERSIONS, min_size=1, max_size=4))
def test_what_a_version_or_one_that_it_continues_was_fitted_on_is_never_unseen_by_it(
    chain: list[tuple[Apart | None, int, int, int, int]],
) -> None:
    times, nothing = ROWS["event_time_us"].to_numpy(), np.zeros(len(ROWS), np.bool_)
    taught, fitted = {SERVED: nothing}, None
    for apart, end, embargo, calibration, evidence in chain:
        start = end + (embargo if apart is None else 0)
        ends = np.cumsum([start, calibration, evidence]).tolist()
        fresh = None if apart is None else Span(start, ends[-1])
        spans = Spans(Span(0, end), Span(*ends[:2]), Span(*ends[1:]), fresh)
        fold = np.full(len(ROWS), SERVED) if apart is None else apart.fold(ROWS)
        boosters = {SERVED: nothing} | {
            each: fold == each for each in range(0 if apart is None else apart.folds)
        }
        if apart is not None and not apart.folds:
            boosters[SERVED] = fold != SERVED
        same = fitted is not None and fitted.apart == apart
        continued = {each: taught[each if same else SERVED] for each in boosters}
        judges = {SERVED: fold == fold} if len(boosters) == 1 else {it: fold == it for it in boosters}
        if fitted is not None and fitted.spares(spans, apart):
            judging = spans.evidence.holds(times) & ((fold != SERVED) | (apart is None))
            judging |= spans.calibrates(times, fold != SERVED)
            for each, of in judges.items():
                assert not np.any(continued[each] & judging & of)
        fitted = Fitted.on(spans, apart, fitted)
        taught = {each: continued[each] | spans.teaches(times, held) for each, held in boosters.items()}
        manifest = {"spans": spans.to_dict(), "fitted": fitted.to_dict()}
        manifest |= {} if apart is None else {"apart": apart.to_dict()}
        assert Fitted.by(manifest) == fitted
        unseen = Unseen.by(manifest)
        for each, learned in taught.items():
            assert not np.any(learned & unseen.rows(ROWS) & (unseen.fold(ROWS) == each))


def test_an_entity_that_the_schema_lacks_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"training\.fresh\.entity"):
        made_settings(fresh={"entity": "person"})
