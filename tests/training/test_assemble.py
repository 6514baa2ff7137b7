"""What a version's thresholds were solved on, and the curve it carries."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from fraud.bundle.bundle import Bundle
from fraud.bundle.calibrator import Calibrator
from fraud.bundle.risk_scale import RiskScale
from fraud.clock import DAY_US
from fraud.features.spec import FeatureSpec
from fraud.policy.risks import Risks
from fraud.policy.thresholds import Thresholds
from fraud.policy.trade import TradeCurve
from fraud.records import Outcome
from fraud.settings.model import Cost, Policy, Target
from fraud.training.assemble import _days_there, assemble, calibration_rows, stopped_by
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import TrainingSet
from fraud.training.recipes import choose_rows, matrix_of
from fraud.training.splits import Span
from tests.training.made import made_set, made_settings

COST = Cost(loss_share=1.0, friction_minor=400.0)
POLICY = Policy(review=Target(share=0.05), decline=Target(cost=COST))
RECIPE = made_settings().training.recipes["full"]


@pytest.fixture(scope="module")
def made() -> tuple[TrainingSet, Challenger, Bundle]:
    """A training set, a challenger of it, and the same booster under another policy."""
    settings = made_settings()
    rows = made_set(settings)
    found = train_here({"card": rows}, FeatureSpec.of(settings), settings, {"card": None})
    challenger = next(each for each in found if isinstance(each, Challenger) and each.recipe == "full")
    chosen = np.flatnonzero(challenger.spans.train.holds(rows.event_time_us) & (rows.label >= 0))
    bundle = assemble(
        rows,
        challenger.bundle.booster,
        challenger.bundle.vocabularies,
        chosen,
        challenger.spans,
        POLICY,
        dict(challenger.bundle.manifest),
        1,
    )
    return rows, challenger, bundle


def test_the_curve_travels_with_the_bundle(made: tuple[TrainingSet, Challenger, Bundle]) -> None:
    _, challenger, _ = made
    stored = Bundle.from_files(challenger.bundle.files())
    curve = TradeCurve.from_dict(json.loads(json.dumps(stored.manifest["policy_curve"])))
    assert curve.thresholds == stored.thresholds
    assert len(curve.points) > 5
    assert stored.thresholds.decline is not None
    decline = curve.at(stored.thresholds.decline)
    assert decline is not None
    assert decline.precision is not None
    assert decline.precision >= 0.5, "the target of the made settings"


def test_a_cost_by_amount_is_solved_on_the_traffic_of_the_calibration_span(
    made: tuple[TrainingSet, Challenger, Bundle],
) -> None:
    rows, challenger, bundle = made
    span = np.flatnonzero(challenger.spans.calibration.holds(rows.event_time_us))
    scores = bundle.scores_of(matrix_of(rows, span, bundle.vocabularies))
    risks = Risks(scores, rows.amount_minor[span])
    threshold = bundle.thresholds.decline
    assert threshold is not None
    losses = risks.losses(COST, np.append(np.unique(scores), 2.0))
    assert risks.losses(COST, np.array([threshold]))[0] == pytest.approx(losses.min())
    curve = TradeCurve.from_dict(bundle.manifest["policy_curve"])
    point = curve.at(threshold)
    assert point is not None
    days = (challenger.spans.calibration.end_us - challenger.spans.calibration.start_us) / 86_400e6
    assert point.alerts_per_day == pytest.approx((scores >= threshold).sum() / days)
    assert point.cost_per_day == pytest.approx(losses.min() / days)
    assert min(each.cost_per_day for each in curve.points) == point.cost_per_day
    outcomes = bundle.thresholds.outcomes(scores)
    assert (outcomes == Outcome.DECLINE).sum() == (scores >= threshold).sum()


@pytest.mark.parametrize("fresh", [None, {"apart": 0.3}, {"folds": 3}])
def test_a_fit_is_asked_at_the_thresholds_that_its_bundle_would_have(fresh: dict[str, float] | None) -> None:
    recipe = {"kind": "full", "rounds": 60, "max_depth": 6, "learning_rate": 0.2}
    settings = made_settings(fresh=fresh, recipes={"full": recipe})
    rows = made_set(settings)
    full = train_here({"card": rows}, FeatureSpec.of(settings), settings, {"card": None})[0]
    assert isinstance(full, Challenger)
    bundle, policy = full.bundle, settings.models["card"].policy
    matrix = matrix_of(rows, np.arange(len(rows)), bundle.vocabularies)
    stopped = stopped_by(
        rows, bundle.vocabularies, full.spans, policy, 1, bundle.folds, bundle.booster, matrix
    )
    outcomes = bundle.thresholds.outcomes(bundle.scores_of(matrix))
    assert 0 < stopped.sum() < len(rows)
    np.testing.assert_array_equal(stopped, outcomes != Outcome.APPROVE)


def test_old_frauds_that_are_kept_for_replay_are_no_reference_traffic() -> None:
    recipe = {"kind": "recent", "window": "20d", "replay_share": 1.0, "rounds": 30, "max_depth": 4}
    settings = made_settings(recipes={"recent": recipe})
    rows = made_set(settings)
    recent = train_here({"card": rows}, FeatureSpec.of(settings), settings, {"card": None})[0]
    assert isinstance(recent, Challenger)
    bundle = recent.bundle
    traffic = np.flatnonzero(rows.event_time_us >= rows.window_start_us)
    assert len(rows) - len(traffic) > 0.03 * len(traffic), "old frauds would fill the top of the scale"
    margins = bundle.margins(matrix_of(rows, traffic, bundle.vocabularies))
    assert bundle.risk_scale == RiskScale.fit(margins)
    risk = bundle.risk_scores(margins)
    assert 0.005 < np.mean(risk >= 990) <= 0.01, "of live traffic"


def test_a_label_on_a_decline_changes_nothing_that_is_solved_where_explored_ones_stand_for_it(
    made: tuple[TrainingSet, Challenger, Bundle],
) -> None:
    rows, challenger, _ = made
    amounts = rows.features[:, rows.feature_names.index("amount")]
    span = challenger.spans.calibration.holds(rows.event_time_us)
    declined = span & (amounts > np.quantile(amounts, 0.3))
    explored = declined & (rows.draws < 0.5)
    tails = declined & ~explored
    silent = replace(
        rows,
        label=np.where(tails, -1, rows.label).astype(np.int8),
        propensity=np.where(explored, 0.5, 1.0),
        stood_for=tails,
    )
    labelled = replace(silent, label=np.where(tails & (rows.label == 1), 1, silent.label).astype(np.int8))
    twice = replace(labelled, stood_for=np.zeros_like(tails))
    assert np.count_nonzero(labelled.label != silent.label) > 5, "an analyst found these frauds"
    bundle, manifest = challenger.bundle, dict(challenger.manifest)

    def solved(given: TrainingSet) -> tuple[Calibrator, Thresholds]:
        trained = choose_rows(RECIPE, given, challenger.spans).rows
        found = assemble(
            given, bundle.booster, bundle.vocabularies, trained, challenger.spans, POLICY, manifest, 1
        )
        return found.calibrator, found.thresholds

    assert solved(labelled) == solved(silent)
    assert solved(twice) != solved(silent)
    assert not labelled.stood_for[calibration_rows(labelled, challenger.spans)].any()


def test_what_explored_declines_stand_for_teaches_the_booster_all_the_same(
    made: tuple[TrainingSet, Challenger, Bundle],
) -> None:
    rows, challenger, _ = made
    plain = choose_rows(RECIPE, rows, challenger.spans)
    chosen = choose_rows(RECIPE, replace(rows, stood_for=rows.label == 1), challenger.spans)
    np.testing.assert_array_equal(chosen.rows, plain.rows)


@pytest.mark.parametrize(("gone", "days"), [((), 7), ((2, 3, 4), 4), ((0, 6), 5)])
def test_a_number_of_alerts_a_day_is_one_for_each_day_that_is_there(gone: tuple[int, ...], days: int) -> None:
    settings = made_settings()
    rows = made_set(settings)
    span = Span(int(rows.event_time_us[0]), int(rows.event_time_us[0]) + 7 * DAY_US)
    day = (rows.event_time_us - span.start_us) // DAY_US
    assert set(range(7)) <= set(day.tolist())
    kept = SimpleNamespace(event_time_us=rows.event_time_us[~np.isin(day, gone)])
    assert _days_there(cast("TrainingSet", kept), span) == days
