"""Feeds: silence and swelling are seen against the delay curve, week-ends and backlogs are not."""

import numpy as np
import polars as pl
import pytest

from benchmarks.guard_feed import chargebacks, completed, flood, silence
from fraud.bundle.calibrator import Calibrator
from fraud.clock import DAY_US, HOUR_US
from fraud.guard.examine import examine
from fraud.guard.feeds import Promise
from fraud.guard.flow import flows
from fraud.labels.exclusions import Exclusion, View
from fraud.labels.standing import ConflictRule
from fraud.records import Outcome
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, SEEDS, checks, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_silent_source_is_seen_on_the_first_day(seed: int, *, imported: bool) -> None:
    payments = made_payments(seed)
    if imported:  # nobody decided them, and they went through
        payments = payments.with_columns(outcome=pl.lit(None, pl.Int32), imported=pl.lit(value=True))
    labels = silence("chargeback")(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "silence"]
    assert [it.subject for it in found] == ["chargeback"]
    assert found[0].action == "freeze"
    assert found[0].value == 0.0
    assert found[0].suspect is not None, "the payments whose labels are missing"
    assert found[0].suspect.from_us == (LAST - 8) * DAY_US + 1


def test_the_delay_curve_is_that_of_the_feed() -> None:
    payments = made_payments()
    data = judged(payments, chargebacks(payments), LAST)
    promise = Promise.of(data, data.feeds[0], RULES)
    assert promise is not None
    assert promise.by(7) == 0.0
    assert promise.by(8) == 1.0
    assert promise.arrivals.rate(1) == pytest.approx(0.05, rel=0.1)


def test_labels_lost_for_two_days_are_missed_after_the_feed_came_back() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    lost = (pl.col("arrival_time_us") // DAY_US).is_between(LAST - 4, LAST - 3)
    found = examine(judged(payments, labels.filter(~lost), LAST, since=7), RULES)
    assert "silence" in checks(found)


def test_a_feed_that_rests_at_week_ends_is_not_silent() -> None:
    payments = made_payments(days=140)
    labels = chargebacks(payments)
    day = pl.col("arrival_time_us") // DAY_US
    rested = labels.with_columns(
        arrival_time_us=pl.col("arrival_time_us") + (7 - day % 7).clip(1, 2) % 3 * (day % 7 >= 5) * DAY_US
    )
    for last in range(FIRST_DAY + 120, FIRST_DAY + 134):
        assert "silence" not in checks(examine(judged(payments, rested, last), RULES)), last


def test_a_backlog_that_comes_at_once_is_no_jump() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    late = (pl.col("arrival_time_us") // DAY_US).is_between(LAST - 4, LAST - 1)
    moved = pl.when(late).then(LAST * DAY_US + HOUR_US).otherwise("arrival_time_us")
    found = examine(judged(payments, labels.with_columns(arrival_time_us=moved), LAST), RULES)
    assert "fraud_rate" not in checks(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flood_moves_the_fraud_rate(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("chargeback", "bank", 200, into_batch=True)(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "fraud_rate"]
    assert len(found) == 1
    assert found[0].action == "note", "a new attack looks like it too"


def test_outcomes_that_stop_are_seen_and_none_at_all_are_not_missed() -> None:
    payments = made_payments()
    reports = completed(payments)
    stopped = reports.filter(pl.col("arrival_time_us") < LAST * DAY_US)
    labels = honest(payments)
    assert "outcomes" in checks(examine(judged(payments, labels, LAST, reports=stopped), RULES))
    assert "outcomes" not in checks(examine(judged(payments, labels, LAST, reports=reports), RULES))
    assert "outcomes" not in checks(examine(judged(payments, labels, LAST), RULES))


def test_labels_that_are_excluded_are_no_silence() -> None:
    payments = made_payments()
    labels = honest(payments)
    cut_us = (LAST + 1) * DAY_US
    view = View((Exclusion("labels", source="chargeback", from_us=cut_us - 3 * DAY_US, to_us=cut_us),))
    assert not checks(examine(judged(payments, labels, LAST, view=view), RULES))
    batch = f"chargeback-{LAST}"
    assert not checks(examine(judged(payments, labels, LAST, retracted={batch: cut_us}), RULES))


def test_without_history_a_feed_is_not_judged() -> None:
    payments = made_payments(days=25)
    labels = silence("chargeback")(payments, honest(payments), FIRST_DAY + 24)
    data = judged(payments, labels, FIRST_DAY + 24)
    # The desk's delay is a day, so only what needs a matured past is silent here.
    assert Promise.of(data, data.feeds[0], RULES) is None or data.seen >= data.matured + 14
    early = made_payments(days=20)
    quiet = silence("chargeback")(early, honest(early), FIRST_DAY + 15)
    assert "silence" not in checks(examine(judged(early, quiet, FIRST_DAY + 19), RULES))


def test_a_slow_decline_of_fraud_is_no_silence() -> None:
    payments = made_payments(days=100)
    rng = np.random.default_rng(5)
    age = (payments["event_time_us"].to_numpy() // DAY_US - FIRST_DAY) / 100
    kept = payments["is_fraud"].to_numpy() & (rng.random(len(payments)) < 1 - 0.6 * age)
    declining = payments.with_columns(is_fraud=pl.Series(kept))
    labels = chargebacks(declining)
    for last in range(FIRST_DAY + 70, FIRST_DAY + 100, 5):
        assert not checks(examine(judged(declining, labels, last), RULES))


def calibrated(payments: pl.DataFrame) -> pl.DataFrame:
    """Payments whose scores add up to their frauds."""
    score = payments["score"].to_numpy()
    odds = np.log(score / (1 - score)).astype(np.float32)
    calibrator = Calibrator.fit(odds, payments["is_fraud"].to_numpy(), np.ones(len(odds)))
    return payments.with_columns(score=pl.Series(calibrator(odds)))


def stopped(payments: pl.DataFrame, *, declined: bool) -> pl.DataFrame:
    """Calibrated payments whose visible frauds end ten days before the last: not made, or declined.

    The fifth of the frauds that no model tells apart goes on.
    """
    payments = calibrated(payments)
    visible = pl.col("is_fraud") & (pl.col("f_signal") > 2)
    late = visible & (pl.col("event_time_us") >= (LAST - 10) * DAY_US)
    if declined:
        return payments.with_columns(
            outcome=pl.when(late).then(pl.lit(int(Outcome.DECLINE))).otherwise("outcome").cast(pl.Int32)
        )
    return payments.filter(~late)


@pytest.mark.parametrize("declined", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_labels_that_stop_because_fraud_was_stopped_are_no_silence(seed: int, *, declined: bool) -> None:
    payments = stopped(made_payments(seed), declined=declined)
    labels = chargebacks(payments.filter(pl.col("outcome") == int(Outcome.APPROVE)))
    data = judged(payments, labels, LAST, since=3)
    assert "silence" not in checks(examine(data, RULES))
    # Without the scores nobody could tell that from a broken feed, and it is taken for one.
    unscored = payments.with_columns(score=pl.lit(None, pl.Float64))
    assert "silence" in checks(examine(judged(unscored, labels, LAST, since=3), RULES))
    (flow,) = [it for it in flows(data, RULES) if it.days == 1]
    assert flow.expected < 15, "half of the usual thirty is more than the other scores add up to"


def shared(labels: pl.DataFrame) -> pl.DataFrame:
    """The chargebacks of two sources: the issuer reports two of five frauds."""
    issuers = pl.col("transaction_id").hash(3) % 5 < 2
    return labels.with_columns(
        pl.when(issuers).then(pl.col(name).str.replace("chargeback|bank", "issuer")).otherwise(name)
        for name in ("source", "submitter", "batch_id")
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_when_fraud_was_stopped_no_source_owes_what_the_others_give(seed: int) -> None:
    payments = stopped(made_payments(seed, a_day=1_200), declined=False)
    # Nothing that looks like fraud is let through any more, honest or not.
    late = (pl.col("event_time_us") >= (LAST - 10) * DAY_US) & (pl.col("f_signal") > 2)
    payments = payments.filter(~late)
    labels = shared(chargebacks(payments))
    data = judged(payments, labels, LAST, since=3)
    assert {feed.source for feed in data.feeds} == {"", "chargeback", "issuer"}
    assert "silence" not in checks(examine(data, RULES))
    expected = {flow.source: flow.expected for flow in flows(data, RULES) if flow.days == 7}
    assert expected["issuer"] + expected["chargeback"] == pytest.approx(expected[""], rel=0.1)
    broken = silence("issuer")(payments, labels, LAST - 2)
    found = {it.subject: it for it in examine(judged(payments, broken, LAST, since=3), RULES)}
    assert found["issuer"].check == "silence"
    assert found["issuer"].value == 0.0
    assert "chargeback" not in found


def test_a_young_source_owes_its_part_of_the_frauds_since_it_began() -> None:
    payments = calibrated(made_payments(a_day=1_200))
    labels = shared(chargebacks(payments))
    day, is_young = pl.col("arrival_time_us") // DAY_US, pl.col("source") == "issuer"
    began = labels.filter(~is_young | (day >= LAST - 20))
    assert "silence" not in checks(examine(judged(payments, began, LAST, since=3), RULES))
    kept = pl.int_range(pl.len()) % 3 == 0
    ebbed = began.filter(~is_young | (day < LAST - 2) | kept)
    found = [it for it in examine(judged(payments, ebbed, LAST, since=3), RULES) if it.check == "silence"]
    assert [it.subject for it in found] == ["issuer"]


def test_a_source_too_young_for_matured_days_owes_something() -> None:
    payments = calibrated(made_payments(a_day=1_200))
    labels = shared(chargebacks(payments))
    day, is_young = pl.col("arrival_time_us") // DAY_US, pl.col("source") == "issuer"
    broken = labels.filter(~is_young | (day.is_between(LAST - 10, LAST - 1)))
    expected = {it.source: it.expected for it in flows(judged(payments, broken, LAST), RULES) if it.days == 1}
    assert 1 < expected["issuer"] < 24


def test_a_feed_that_breaks_after_fraud_has_halved_is_still_silent() -> None:
    payments = made_payments()
    fewer = payments.filter(~pl.col("is_fraud") | (pl.int_range(pl.len()) % 2 == 0))
    labels = silence("chargeback")(fewer, chargebacks(fewer), LAST)
    found = [it for it in examine(judged(fewer, labels, LAST), RULES) if it.check == "silence"]
    assert [it.value for it in found] == [0.0]


def test_a_source_that_was_taken_out_of_the_configuration_owes_nothing() -> None:
    payments = made_payments(a_day=1_200)
    gone = silence("issuer")(payments, shared(chargebacks(payments)), LAST - 2)
    told = {it.subject for it in examine(judged(payments, gone, LAST, since=3), RULES)}
    assert "issuer" in told
    rule = ConflictRule("LABELER_PRIORITY", ("chargeback", "analyst"))
    data = judged(payments, gone, LAST, since=3, conflict=rule)
    assert {feed.source for feed in data.feeds} == {"chargeback"}
    assert "silence" not in checks(examine(data, RULES))
