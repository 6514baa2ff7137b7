"""Labels beside each other: contradictions and repetitions."""

import polars as pl
import pytest

from benchmarks.guard_feed import FRAUD, LEGITIMATE, bought, chargebacks, desk, flip
from fraud.clock import DAY_US, HOUR_US
from fraud.guard.examine import examine
from fraud.labels.exclusions import Exclusion
from fraud.labels.standing import ConflictRule
from fraud.records import LabelValue
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, SEEDS, checks, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1


def found_by(check: str, payments: pl.DataFrame, labels: pl.DataFrame) -> list[str]:
    return [it.subject for it in examine(judged(payments, labels, LAST), RULES) if it.check == check]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_source_that_turns_round_what_another_said_is_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = flip("chargeback")(payments, honest(payments), LAST)
    assert found_by("contradictions", payments, labels) == [f"chargeback-{LAST}"]


@pytest.mark.parametrize("value", [LEGITIMATE, int(LabelValue.WITHDRAWN)])
def test_a_batch_that_takes_back_frauds_is_named(value: int) -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    taken_back = labels.filter(pl.col("arrival_time_us") // DAY_US == LAST - 3).with_columns(
        value=pl.lit(value, pl.Int32),
        arrival_time_us=pl.lit(LAST * DAY_US + 5 * HOUR_US),
        batch_id=pl.lit("regret"),
    )
    assert found_by("contradictions", payments, pl.concat([labels, taken_back])) == ["regret"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_about_payments_of_long_ago_is_judged_like_any_other(seed: int) -> None:
    """Whatever comes in may teach, however old its payment: the guard looks 57 days back here."""
    payments = made_payments(seed)
    labels = chargebacks(payments)
    old = labels.filter(pl.col("arrival_time_us") < (FIRST_DAY + 15) * DAY_US)
    turned = old.with_columns(
        value=pl.lit(LEGITIMATE, pl.Int32),
        arrival_time_us=pl.lit(LAST * DAY_US + 5 * HOUR_US),
        batch_id=pl.lit("long ago"),
    )
    both = pl.concat([labels, turned])
    assert found_by("contradictions", payments, both) == ["long ago"]
    assert (
        judged(payments, both, LAST).feeds[0].visible.sum()
        == judged(payments, labels, LAST).feeds[0].visible.sum()
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_who_takes_frauds_back_one_a_batch_is_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = honest(payments)
    frauds = labels.filter(pl.col("value") == FRAUD, pl.col("arrival_time_us") // DAY_US == LAST - 3)
    taken_back = frauds.with_columns(
        value=pl.lit(LEGITIMATE, pl.Int32),
        arrival_time_us=pl.lit(LAST * DAY_US + 5 * HOUR_US),
        source=pl.lit("analyst"),
        submitter=pl.lit("ann"),
        batch_id=pl.format("regret-{}", "transaction_id"),
    )
    assert len(taken_back) >= 20
    (found,) = (
        it
        for it in examine(judged(payments, pl.concat([labels, taken_back]), LAST), RULES)
        if it.check == "contradictions"
    )
    assert (found.subject, found.action) == ("ann", "freeze")
    assert found.suspect is not None
    assert (found.suspect.source, found.suspect.submitter) == ("analyst", "ann")
    few = taken_back.head(RULES.contradictions.labels_min // 2 - 1)
    assert "ann" not in found_by("contradictions", payments, pl.concat([labels, few]))


def test_to_decide_after_a_withdrawal_contradicts_nobody() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    again = labels.filter(pl.col("arrival_time_us") // DAY_US == LAST - 3)
    withdrawn = again.with_columns(
        value=pl.lit(int(LabelValue.WITHDRAWN), pl.Int32), arrival_time_us=pl.col("arrival_time_us") + 1
    )
    decided = again.with_columns(
        value=pl.lit(FRAUD, pl.Int32),
        arrival_time_us=pl.lit(LAST * DAY_US + 5 * HOUR_US),
        batch_id=pl.lit("decided"),
    )
    assert "decided" not in found_by("contradictions", payments, pl.concat([labels, withdrawn, decided]))


def test_a_batch_sent_again_under_another_name_is_noted_and_can_be_dropped() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    copy = labels.filter(pl.col("arrival_time_us") // DAY_US == LAST - 3).with_columns(
        arrival_time_us=pl.lit(LAST * DAY_US + 5 * HOUR_US), batch_id=pl.lit("copy")
    )
    data = judged(payments, pl.concat([labels, copy]), LAST)
    found = [it for it in examine(data, RULES) if it.check == "duplicates"]
    assert [(it.subject, it.action) for it in found] == [("copy", "note")]
    dropping = RULES.model_copy(update={"duplicates": RULES.duplicates.model_copy(update={"action": "drop"})})
    (dropped,) = [it for it in examine(data, dropping) if it.check == "duplicates"]
    assert (dropped.action, dropped.suspect) == ("drop", Exclusion("labels", batch_id="copy"))


def test_a_doubled_file_is_noted_and_nothing_of_it_is_lost() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    doubled = pl.concat([labels, labels.filter(pl.col("arrival_time_us") // DAY_US == LAST)])
    dropping = RULES.model_copy(update={"duplicates": RULES.duplicates.model_copy(update={"action": "drop"})})
    (found,) = [it for it in examine(judged(payments, doubled, LAST), dropping) if it.check == "duplicates"]
    assert (found.subject, found.action, found.suspect) == (f"chargeback-{LAST}", "note", None)


def test_without_history_nobody_is_contradicted() -> None:
    payments = made_payments(days=12)
    last = FIRST_DAY + 11
    labels = flip("chargeback")(payments, honest(payments), last)
    assert not checks(examine(judged(payments, labels, last), RULES))


def test_weeks_without_a_label_contradict_nobody() -> None:
    payments = made_payments()
    old = honest(payments).filter(pl.col("arrival_time_us") < (LAST - 28) * DAY_US)
    contradictions = RULES.contradictions.model_copy(update={"labels_min": 1})
    rules = RULES.model_copy(update={"contradictions": contradictions})
    assert "contradictions" not in checks(examine(judged(payments, old, LAST, rules=rules), rules))


@pytest.mark.parametrize("honest_verdicts", [0, 30])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_analyst_whom_chargebacks_overturn_is_named_whatever_else_he_says(
    seed: int, honest_verdicts: int
) -> None:
    payments = made_payments(seed)
    labels = bought(10, honest=honest_verdicts)(payments, honest(payments), LAST - 20)
    (finding,) = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "overturned"]
    assert (finding.subject, finding.action) == ("analyst-17", "freeze")
    suspect = finding.suspect
    assert suspect is not None
    mine = labels.filter(submitter="analyst-17").filter(pl.col("arrival_time_us") <= (LAST + 1) * DAY_US)
    assert mine.filter(suspect.label_rows()).height == len(mine), "the whole of the pollution is suspect"
    assert not labels.filter(pl.col("submitter") != "analyst-17").filter(suspect.label_rows()).height


def test_a_bought_analyst_is_seen_within_days_of_the_first_chargebacks() -> None:
    payments = made_payments()
    began = FIRST_DAY + 40
    labels = bought(10)(payments, honest(payments), began)
    seen = [
        day - began
        for day in range(began, began + 20)
        if "overturned" in checks(examine(judged(payments, labels, day), RULES))
    ]
    assert 7 <= seen[0] <= 11, "chargebacks take a week and a night"
    assert seen == list(range(seen[0], 20)), "and is not lost from sight"


def with_answers(labels: pl.DataFrame) -> pl.DataFrame:
    """What analyst-17 called legitimate and a chargeback fraud afterwards, with when that came."""
    answers = labels.filter(source="chargeback").select("transaction_id", answered_us="arrival_time_us")
    his = labels.filter(submitter="analyst-17", value=LEGITIMATE).join(answers, on="transaction_id")
    return his.filter(pl.col("answered_us") > pl.col("arrival_time_us"))


def test_who_corrects_himself_after_the_answer_is_overturned_all_the_same() -> None:
    payments = made_payments()
    labels = bought(10)(payments, honest(payments), LAST - 20)
    his = with_answers(labels)
    late = his.with_columns(
        value=pl.lit(FRAUD, pl.Int32),
        arrival_time_us=pl.col("answered_us") + HOUR_US,
        batch_id=pl.format("sorry-{}", "transaction_id"),
    ).drop("answered_us")
    assert found_by("overturned", payments, pl.concat([labels, late])) == ["analyst-17"]
    in_time = late.with_columns(arrival_time_us=his["arrival_time_us"] + 1)
    assert found_by("overturned", payments, pl.concat([labels, in_time])) == []


def test_who_takes_his_batches_back_after_the_answer_is_overturned_all_the_same() -> None:
    payments = made_payments()
    labels = bought(10)(payments, honest(payments), LAST - 20)
    is_his = pl.col("submitter") == "analyst-17"
    alone = pl.when(is_his).then(pl.format("his-{}", "transaction_id")).otherwise("batch_id")
    labels = labels.with_columns(batch_id=alone)
    his = with_answers(labels)

    def found(retracted: dict[str, int]) -> list[str]:
        data = judged(payments, labels, LAST, retracted=retracted)
        return [it.subject for it in examine(data, RULES) if it.check == "overturned"]

    assert found(dict(his.select("batch_id", pl.col("answered_us") + HOUR_US).iter_rows())) == ["analyst-17"]
    assert found(dict(his.select("batch_id", pl.col("arrival_time_us") + 1).iter_rows())) == []


def test_two_who_were_bought_do_not_excuse_each_other() -> None:
    payments = made_payments()
    labels = bought(10, "analyst-17")(payments, honest(payments), LAST - 20)
    labels = bought(8, "analyst-23")(payments, labels, LAST - 20)
    assert found_by("overturned", payments, labels) == ["analyst-17", "analyst-23"]


def test_what_was_overturned_before_the_data_was_found_fit_is_no_news() -> None:
    payments = made_payments()
    labels = bought(10)(payments, honest(payments), LAST - 20)
    is_his = pl.col("submitter") == "analyst-17"
    stopped = labels.filter(~is_his | (pl.col("arrival_time_us") < (LAST - 12) * DAY_US))
    assert found_by("overturned", payments, stopped) == []
    data = judged(payments, stopped, LAST, since=10)
    assert [it.subject for it in examine(data, RULES) if it.check == "overturned"] == ["analyst-17"]


def test_who_contradicts_a_better_source_accuses_nobody_but_himself() -> None:
    payments = made_payments()
    labels = honest(payments)
    lately = chargebacks(payments).filter(pl.col("arrival_time_us") >= (LAST - 20) * DAY_US)
    mob = lately.with_columns(
        value=pl.lit(LEGITIMATE, pl.Int32),
        source=pl.lit("analyst"),
        submitter=pl.lit("mob"),
        batch_id=pl.lit("mob"),
    )
    assert found_by("overturned", payments, pl.concat([labels, mob])) == ["mob"]


def an_hour_later(labels: pl.DataFrame, value: int, submitter: str) -> pl.DataFrame:
    """Chargebacks of one submitter on the same payments, in one batch."""
    return labels.with_columns(
        pl.col("arrival_time_us", "label_time_us") + HOUR_US,
        value=pl.lit(value, pl.Int32),
        source=pl.lit("chargeback"),
        submitter=pl.lit(submitter),
        batch_id=pl.lit(submitter),
    )


def test_who_was_contradicted_by_what_was_taken_back_is_not_overturned() -> None:
    payments = made_payments()
    honest_labels = honest(payments)
    cleared = honest_labels.filter(
        pl.col("value") == LEGITIMATE, pl.col("arrival_time_us") >= (LAST - 20) * DAY_US
    )
    wrong = an_hour_later(cleared, FRAUD, "bank")
    represented = an_hour_later(wrong, LEGITIMATE, "representment")
    assert found_by("overturned", payments, pl.concat([honest_labels, wrong])) == ["desk"]
    assert found_by("overturned", payments, pl.concat([honest_labels, wrong, represented])) == []


def test_who_has_the_last_word_is_not_overturned() -> None:
    payments = made_payments()
    labels = bought(10)(payments, honest(payments), LAST - 20)
    last_wins = ConflictRule("LAST_WRITE_WINS", ("analyst", "chargeback"))
    analysts_first = judged(payments, labels, LAST, conflict=last_wins)
    assert "overturned" not in checks(examine(analysts_first, RULES)), "no source is better than analysts"
    last_wins = ConflictRule("LAST_WRITE_WINS", ("chargeback", "analyst"))
    found = examine(judged(payments, labels, LAST, conflict=last_wins), RULES)
    assert [it.subject for it in found if it.check == "overturned"] == ["analyst-17"]
    late = labels.with_columns(
        label_time_us=pl.when(submitter="analyst-17").then(LAST * DAY_US).otherwise("label_time_us")
    )
    assert "overturned" not in checks(examine(judged(payments, late, LAST, conflict=last_wins), RULES))


@pytest.mark.parametrize(("share", "found"), [(0.1, []), (0.8, ["desk"])])
def test_a_desk_that_errs_as_desks_do_is_not_overturned(share: float, found: list[str]) -> None:
    payments = made_payments()
    labels = honest(payments)
    late = (pl.col("source") == "analyst") & (pl.col("arrival_time_us") >= (LAST - 20) * DAY_US)
    erring = late & (pl.col("value") == FRAUD) & (pl.int_range(pl.len()) % 10 < 10 * share)
    labels = labels.with_columns(value=pl.when(erring).then(pl.lit(LEGITIMATE, pl.Int32)).otherwise("value"))
    assert found_by("overturned", payments, labels) == found


def test_customers_who_cry_fraud_too_often_are_not_overturned_when_a_desk_begins_to_look() -> None:
    payments = made_payments()
    conflict = ConflictRule("LABELER_PRIORITY", ("chargeback", "analyst", "customer"))
    cries = desk(payments, rows=60).with_columns(
        value=pl.lit(FRAUD, pl.Int32),
        source=pl.lit("customer"),
        submitter=pl.lit("app"),
        batch_id=pl.format("app-{}", "batch_id"),
    )
    looked = desk(payments, rows=60).filter(pl.col("arrival_time_us") >= (LAST - 20) * DAY_US)
    labels = pl.concat([chargebacks(payments), cries, looked])
    found = examine(judged(payments, labels, LAST, conflict=conflict), RULES)
    assert "overturned" not in checks(found)
