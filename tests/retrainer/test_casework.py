"""What a case holds beside the evidence: traffic at unchanged cut-offs and thresholds, time, slices."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fraud.bundle.boosting import load_booster, margins_of
from fraud.bundle.bundle import FILES
from fraud.clock import DAY_US
from fraud.gate.verdict import judge
from fraud.guard.delays import SOURCE_SHARE_MIN
from fraud.records import Event, Label, LabelsSubmitted, LabelValue, Outcome, Scored
from fraud.retrainer.casework import Casework, Rival, alerts_on, traffic_before
from fraud.retrainer.guarding import judge_data, with_maturity
from fraud.retrainer.matrices import READABLE, Matrices, matrix_of, unseen_scores
from fraud.retrainer.newest import NewestTraffic
from fraud.retrainer.rescoring import Rescoring
from fraud.retrainer.shadowing import _foreseen
from fraud.retrainer.timing import scoring_ratio
from fraud.settings.learning import Fresh, MeasuredMaturity
from fraud.training.unseen import Apart
from tests.bundle.made import made_bundle
from tests.retrainer.patterns import CHAMPION_DAY, DAYS, ROWS_A_DAY, World, ids_of, with_champion


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with_champion(folder)
    world = World(folder)
    world.pass_days(DAYS)
    world.close()
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    opened = World(tmp_path)
    yield opened
    opened.close()


def test_a_champion_against_itself_differs_in_nothing(world: World) -> None:
    case = world.case(world.ledger.state().champion("card"))
    assert case.champion is not None
    assert case.unadjusted == case.traffic == case.champion.traffic
    rows = CHAMPION_DAY * ROWS_A_DAY
    assert [(count.cutoff, count.rows) for count in case.risk] == [(cut, rows) for cut in (900, 950, 990)]
    assert all((count.challenger, count.differing) == (count.champion, 0) for count in case.risk)
    assert case.scoring_ratio is not None
    assert 1 / 3 < case.scoring_ratio < 3


def test_payments_that_came_late_were_not_promised(world: World) -> None:
    """Events of the week before the champion's cut that arrive behind it change nothing."""
    champion = world.ledger.state().champion("card")
    before = world.case(champion).champion
    late = [
        replace(it, transaction_id=f"late-{it.transaction_id}")
        for it in world._traffic(CHAMPION_DAY - 1)
        if isinstance(it, Scored)
    ]
    world.log.append(late, world.log.last_arrival_us() + 1, [])
    after = world.case(champion).champion
    assert before is not None
    assert after is not None
    assert after.promised == before.promised
    assert before.promised is not None
    assert before.promised.rows == 7 * ROWS_A_DAY


def test_the_two_sides_are_scored_on_the_same_rows(world: World) -> None:
    case = world.case(world.train())
    counts = case.risk[0]
    assert case.traffic.rows == 7 * ROWS_A_DAY
    assert counts.rows == DAYS * ROWS_A_DAY
    assert counts.champion is not None
    assert abs(counts.challenger - counts.champion) <= counts.differing <= counts.challenger + counts.champion
    assert case.unadjusted is not None
    assert case.unadjusted.rows == case.traffic.rows


@pytest.mark.parametrize("most", [3, 50, 10**6])
def test_the_newest_rows_are_the_newest_wherever_they_stand(
    world: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Few are found near the end; where that holds too few of the model, all that came is looked at."""
    monkeypatch.setattr("fraud.retrainer.newest.REFERENCE_ROWS_MAX", most)
    history = world.history()
    places = history.transactions("card").select("position").collect()["position"].sort()
    newest = NewestTraffic(history)
    label = Label("none", LabelValue.FRAUD, world.log.last_arrival_us())
    for number in range(5 * most if most < 100 else 1):
        batch = LabelsSubmitted(f"far-{number}", 0, "chargeback", "ann", (label,), "")
        world.log.append([batch], world.log.last_arrival_us() + 1, [])
    behind = NewestTraffic(world.history())
    last = behind.rows("card")
    assert last["position"].to_list() == places.tail(most).to_list()
    assert set(last.columns) >= {"position", *(f"f_{name}" for name in world.spec.names)}
    assert "transaction_id" not in last.columns
    champion = world.rival(world.ledger.state().champion("card"))
    assert champion is not None
    rows = history.transactions("card").sort("position").collect()
    for upto in (places[0], places[len(places) // 2], *places[-30:-1:14], *places[-1:]):
        wanted = rows.filter(pl.col("position") <= upto).tail(most)
        margins = champion.bundle.margins(matrix_of(champion.bundle, wanted))
        assert np.array_equal(newest.margins(champion.bundle, upto), margins)
        assert np.array_equal(behind.margins(champion.bundle, upto), margins)


def test_a_fresh_scale_keeps_its_promise_but_for_ties(world: World) -> None:
    world.pass_days(DAYS)
    version = world.train()
    made = world.case(version).risk
    for count in made:
        assert count.challenger <= count.promised <= count.challenger + count.tied
    world.pass_days(DAYS + 3)
    later = world.case(version)
    assert later.risk == made, "it is judged by the traffic that it was made for"
    assert later.risk_now != made


def test_the_slices_of_the_configuration_are_in_the_verdict(world: World) -> None:
    names = {row.name for row in judge(world.case(world.train()), world.settings.gate).checks}
    assert "slice_channel=web" in names
    assert any(name.startswith("slice_amount=") for name in names)


def test_label_delays_and_the_maturity_that_is_used_are_in_the_verdict(world: World) -> None:
    history = world.history()
    delays = judge_data(history, "card", None).delays
    assert [delay.source for delay in delays] == ["chargeback", "customer"]
    assert {delay.median_days for delay in delays} <= {3, 4}
    measured = history.settings.labels.model_copy(update={"measured": MeasuredMaturity(least=DAY_US)})
    asked = history.settings.model_copy(update={"labels": measured})
    assert with_maturity(history.settings, [delays]) is history.settings
    settings = with_maturity(asked, [delays])
    days = settings.labels.maturity // DAY_US
    assert days == max(delay.quantile_days for delay in delays if delay.share >= SOURCE_SHARE_MIN) < 5
    assert settings.embargo_us == 0, "set, so it does not follow"

    challenger = world.rival(world.train())
    assert challenger is not None
    seen = replace(history, settings=settings)
    case = Casework(seen, world.bundles, delays=delays).case(challenger, None)
    row = judge(case, settings.gate).check("label_delay_customer")
    assert (row.passed, row.bound) == (None, days)
    assert case.evidence.day_count > world.case(challenger.state.version).evidence.day_count


def test_a_first_version_is_timed_against_nobody(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.pass_days(38)
    case = world.case(world.train())
    assert (case.scoring_ratio, case.unadjusted) == (None, None)
    assert {count.champion for count in case.risk} == {None}
    assert judge(case, world.settings.gate).outcome == "PROMOTE"
    world.close()


def test_more_rows_take_more_time(world: World) -> None:
    rival = world.rival(world.ledger.state().champion("card"))
    assert rival is not None
    rows = rival.bundle.selftest.matrix
    assert scoring_ratio(rival.bundle, rows.repeat(200, axis=0), rival.bundle, rows) > 3


def test_with_cards_set_apart_only_they_are_evidence_up_to_the_cut(world: World) -> None:
    training = world.settings.training.model_copy(update={"fresh": Fresh(apart=0.3)})
    world.settings = world.settings.model_copy(update={"training": training})
    version = world.train()
    world.pass_days(DAYS + 10)
    rival = world.rival(version)
    assert rival is not None
    rows = Casework(world.history(), world.bundles).scored(rival, None)[0]
    cut_us = rival.state.cut_time_us
    fresh = rows.filter(pl.col("event_time_us") < cut_us)
    assert 0.2 < len(fresh) / (ROWS_A_DAY * 15) < 0.4, "evidence of 10 days, maturity of 5"
    assert Apart("card", 0.3).rows(fresh).all()
    later = rows.filter(pl.col("event_time_us") >= cut_us)
    assert 0.2 < Apart("card", 0.3).rows(later).mean() < 0.4
    assert world.case(version).evidence.frauds > 0


def with_folds(world: World) -> Rival:
    """A version of a world whose cards are dealt into two folds."""
    training = world.settings.training.model_copy(update={"fresh": Fresh(folds=2)})
    world.settings = world.settings.model_copy(update={"training": training})
    rival = world.rival(world.train())
    assert rival is not None
    return rival


def test_with_folds_what_is_foretold_and_rescored_is_said_by_boosters_that_have_not_learned_it(
    world: World,
) -> None:
    rival, history = with_folds(world), world.history()
    bundle = rival.bundle
    rows = traffic_before(history, rival.state).select("position", READABLE).sort("position").collect()
    unseen = unseen_scores(bundle, rows)
    assert not np.array_equal(unseen, bundle.scores_of(matrix_of(bundle, rows)))
    alerts = bundle.thresholds.outcomes(unseen) != Outcome.APPROVE
    assert _foreseen(history, rival.state, bundle) == alerts.mean()
    transactions = history.transactions("card", with_features=False)
    rescored = Rescoring(bundle).scores(rows["position"], lambda: transactions).sort("position")
    assert np.array_equal(rescored["score"].to_numpy(), unseen)


def test_with_folds_all_cards_are_evidence_each_scored_by_a_booster_that_has_not_learned_it(
    world: World,
) -> None:
    rival = with_folds(world)
    world.pass_days(DAYS + 20)
    rows = Casework(world.history(), world.bundles).scored(rival, None)[0]
    behind = (rows["event_time_us"] >= rival.state.cut_time_us).to_numpy()
    assert 0.9 < np.count_nonzero(~behind) / (ROWS_A_DAY * 15) <= 1, "evidence of 10 days, maturity of 5"
    fold = Apart("card", 1.0, folds=2).fold(rows)
    matrix, given = matrix_of(rival.bundle, rows), rows["challenger_score"].to_numpy()
    for number, booster in enumerate((*rival.bundle.folds, rival.bundle.booster)):
        own = behind if number == 2 else ~behind & (fold == number)
        assert own.any()
        scores = rival.bundle.scores(margins_of(load_booster(booster), matrix[own]))
        assert np.array_equal(scores, given[own])
    kept = sum(len(rival.bundle.files()[name]) for name in FILES)
    assert world.case(rival.state.version).bundle_bytes == kept, "of folds a scorer keeps nothing"
    alerts = rival.bundle.thresholds.outcomes(given) != Outcome.APPROVE
    assert alerts_on(rival.bundle, rows) == np.count_nonzero(alerts), "sentinels are put to the same"


class Challenging(World):
    """A world that challenges what looks like the first pattern; none of it passes, and nobody reports it."""

    def _traffic(self, day: int) -> list[Event]:
        return [
            replace(it, decision=replace(it.decision, outcome=Outcome.CHALLENGE))
            if isinstance(it, Scored) and it.transaction_id in ids_of("amount", [day])
            else it
            for it in super()._traffic(day)
        ]

    def _reports(self, day: int) -> list[Event]:
        challenged = set() if day < DAYS else set(ids_of("amount", [day]))
        return [
            replace(it, labels=tuple(label for label in it.labels if label.transaction_id not in challenged))
            for it in super()._reports(day)
            if isinstance(it, LabelsSubmitted)
        ]


def test_frauds_that_failed_their_challenge_are_left_out_in_sight(world: World, tmp_path: Path) -> None:
    version = world.train()
    challenging = Challenging(tmp_path)
    challenging.pass_days(DAYS + 10)
    rival = challenging.rival(version)
    assert rival is not None
    rows = Casework(challenging.history(), challenging.bundles).scored(rival, None)[0]
    untold = set(rows.filter(pl.col("is_fraud").is_null())["transaction_id"])
    assert untold == set(ids_of("amount", range(DAYS, DAYS + 10)))
    left_out = challenging.case(version).evidence.left_out
    assert left_out.censored == len(ids_of("amount", range(DAYS, DAYS + 5))), "five days have matured"
    assert left_out.frauds_expected > 0.5 * left_out.censored
    challenging.close()


def test_a_matrix_is_kept_for_bundles_that_read_the_same_columns() -> None:
    first = made_bundle()
    names = ("amount", "card_count_1h", "card_since_previous_s")
    columns = {f"f_{name}": np.ones(2, np.float32) for name in names}
    rows = pl.DataFrame(columns | {"categorical_channel": ["web", "pos"], "categorical_kind": ["moto", None]})
    matrices = Matrices()
    kept = matrices.of(first, rows)
    assert matrices.of(made_bundle(seed=8), rows) is kept
    other = matrices.of(replace(first, categorical_names=("kind",)), rows)
    assert kept[:, 3].tolist() == [0, 1]
    assert other[0, 3] == 2
    assert np.isnan(other[1, 3])
    assert matrices.of(first, rows.clone()) is not kept
    assert matrix_of(first, rows.clear()).shape == (0, 4)
