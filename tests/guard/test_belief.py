"""Labels that models do not believe: floods of false frauds, flipped frauds; not new attacks."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.guard_feed import LEGITIMATE, chargebacks, flip, flood
from fraud.clock import DAY_US, HOUR_US
from fraud.guard.belief import doubted
from fraud.guard.data import GuardData
from fraud.guard.examine import examine
from fraud.guard.floods import told_by_floods
from fraud.training.crossfit import crossfit
from fraud.training.weights import draws_of
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, SEEDS, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1


def crossfitted(data: GuardData, payments: pl.DataFrame) -> GuardData:
    """Add scores of models fitted on all payments, labelled or not."""
    verdicts = data.scored.unique("transaction_id", keep="last", maintain_order=True)
    rows = payments.join(verdicts.select("transaction_id", "fraud"), on="transaction_id", how="left")
    scores = crossfit(
        rows.select("f_signal", "f_noise").to_numpy(),
        rows["fraud"].fill_null(value=False).to_numpy(),
        np.ones(len(rows)),
        draws_of(rows["transaction_id"]),
        0,
        7,
        ~rows["transaction_id"].is_in(told_by_floods(data, RULES).implode()).to_numpy(),
    )
    found = rows.select("transaction_id", crossfit=pl.Series(scores))
    scored = data.scored.drop("crossfit").join(found, on="transaction_id", how="left", maintain_order="left")
    return replace(data, scored=scored, crossfit_low=float(np.quantile(scores, 0.9)))


def named(data: GuardData) -> list[str]:
    return [it.subject for it in examine(data, RULES) if it.check == "implausible_batch"]


def unbelieved_in(data: GuardData) -> list[str]:
    return [it.subject for it in examine(data, RULES) if it.check == "implausible_submitter"]


@pytest.mark.parametrize("seed", SEEDS)
def test_false_frauds_in_an_honest_batch_are_doubted_and_then_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("chargeback", "bank", 45, into_batch=True)(payments, honest(payments), LAST)
    data = judged(payments, labels, LAST)
    batch = f"chargeback-{LAST}"
    assert doubted(data, RULES) == (batch,)
    assert named(data) == [], "one model alone does not condemn a batch"
    assert named(crossfitted(data, payments)) == [batch]


@pytest.mark.parametrize("seed", SEEDS)
def test_few_false_disputes_a_day_condemn_their_submitter_in_weeks(seed: int) -> None:
    payments = made_payments(seed)
    drop = flood("chargeback", "mob", 3, into_batch=False, days=21)
    data = judged(payments, drop(payments, honest(payments), LAST - 20), LAST)
    assert doubted(data, RULES) == ("mob",), "no batch is large enough to be judged"
    assert unbelieved_in(data) == [], "one model alone does not condemn a submitter"
    found = crossfitted(data, payments)
    assert unbelieved_in(found) == ["mob"]
    assert named(found) == []


def test_to_repeat_what_a_bank_says_buys_no_belief() -> None:
    payments = made_payments()
    labels = flood("chargeback", "mob", 3, into_batch=False, days=21)(payments, honest(payments), LAST - 20)
    repeated = chargebacks(payments).filter(pl.col("arrival_time_us") >= (LAST - 20) * DAY_US)
    repeated = repeated.with_columns(
        arrival_time_us=pl.col("arrival_time_us") + HOUR_US,
        submitter=pl.lit("mob"),
        batch_id=pl.format("again-{}", "batch_id"),
    )
    data = judged(payments, pl.concat([labels, repeated]), LAST)
    assert doubted(data, RULES) == ("mob",)
    assert unbelieved_in(crossfitted(data, payments)) == ["mob"]


def test_a_bank_alone_that_turns_is_held_against_its_past() -> None:
    payments = made_payments()
    drop = flood("chargeback", "bank", 60, into_batch=False, days=21)
    data = judged(payments, drop(payments, honest(payments), LAST - 20), LAST)
    assert "bank" in doubted(data, RULES)
    assert unbelieved_in(crossfitted(data, payments)) == ["bank"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_submitter_who_first_brings_a_new_attack_is_believed(seed: int) -> None:
    payments = made_payments(seed, fraud_share=0.08)
    new = pl.col("is_fraud") & (pl.col("event_time_us") // DAY_US >= LAST - 28)
    attacked = payments.with_columns(
        score=pl.when(new).then(0.001).otherwise("score"),
        f_noise=pl.when(new).then(9.0).otherwise("f_noise").cast(pl.Float32),
    )
    labels = chargebacks(attacked).with_columns(
        submitter=pl.when(pl.col("arrival_time_us") >= (LAST - 20) * DAY_US)
        .then(pl.lit("new bank"))
        .otherwise("submitter")
    )
    data = judged(attacked, labels, LAST)
    assert "new bank" in doubted(data, RULES)
    assert unbelieved_in(crossfitted(data, attacked)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_attack_is_doubted_by_the_champion_and_believed_by_the_others(seed: int) -> None:
    payments = made_payments(seed, fraud_share=0.08)
    new = pl.col("is_fraud") & (pl.col("event_time_us") // DAY_US >= LAST - 8)
    # It shows in a feature that the champion never used.
    attacked = payments.with_columns(
        score=pl.when(new).then(0.001).otherwise("score"),
        f_noise=pl.when(new).then(9.0).otherwise("f_noise").cast(pl.Float32),
    )
    data = judged(attacked, chargebacks(attacked), LAST)
    assert doubted(data, RULES) == (f"chargeback-{LAST}",)
    assert named(crossfitted(data, attacked)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_frauds_called_legitimate_by_one_who_never_said_so_are_named(seed: int) -> None:
    payments = made_payments(seed, a_day=900)
    labels = flip("chargeback")(payments, chargebacks(payments), LAST)
    data = judged(payments, labels, LAST)
    batch = f"chargeback-{LAST}"
    assert doubted(data, RULES) == (batch,)
    assert named(crossfitted(data, payments)) == [batch]


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_near_one_that_turn_out_legitimate_are_seen(seed: int) -> None:
    payments = made_payments(seed)
    labels = flip("analyst")(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "near_certain"]
    assert len(found) == 1
    assert found[0].suspect is not None
    assert found[0].suspect.batch_id == f"analyst-{LAST}"


def test_scores_near_one_that_nobody_labels_are_seen_when_they_mature() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    lost = labels.filter(pl.col("arrival_time_us") < (LAST - 6) * DAY_US)
    found = [it for it in examine(judged(payments, lost, LAST), RULES) if it.check == "near_certain"]
    assert len(found) == 1
    assert found[0].suspect is None, "nothing was said, so nothing can be left out"


def test_a_new_analyst_of_high_scores_is_believed() -> None:
    """Half of what a desk looks at is legitimate; near 1 it is hardly ever."""
    payments = made_payments()
    high = payments.filter(pl.col("event_time_us") // DAY_US == LAST - 1, pl.col("score") > 0.3)
    value = pl.when("is_fraud").then(1).otherwise(LEGITIMATE).cast(pl.Int32)
    first = high.select(
        "transaction_id",
        arrival_time_us=pl.lit(LAST * DAY_US + HOUR_US),
        label_time_us=pl.lit(LAST * DAY_US + HOUR_US),
        value=value,
        source=pl.lit("analyst"),
        submitter=pl.lit("desk"),
        batch_id=pl.lit("first"),
    )
    data = judged(payments, pl.concat([chargebacks(payments), first]), LAST)
    assert named(crossfitted(data, payments)) == []
