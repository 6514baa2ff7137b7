import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.labels.maturity import judged, usable
from fraud.records import LabelValue, Outcome, PaymentOutcome
from fraud.settings.learning import Labels

MATURITY = Labels(maturity=30 * DAY_US)
NOW_US = 100 * DAY_US
OLD_US, FRESH_US = 70 * DAY_US, 70 * DAY_US + 1


def one(
    *,
    event_time_us: int = OLD_US,
    outcome: Outcome = Outcome.APPROVE,
    explored: bool = False,
    imported: bool = False,
    verdict: LabelValue | None = None,
    reports: tuple[PaymentOutcome, ...] = (),
    labels: Labels = MATURITY,
    silence_us: int | None = None,
) -> tuple[bool, int] | None:
    """What one transaction teaches at NOW, and since when that is known; None: nothing."""
    transactions = pl.LazyFrame(
        {
            "transaction_id": ["t"],
            "event_time_us": [event_time_us],
            "arrival_time_us": [event_time_us],
            "outcome": [int(outcome)],
            "explored": [explored],
            "imported": [imported],
        }
    )
    standing = pl.LazyFrame(
        {
            "transaction_id": ["t"],
            "value": [int(verdict or 0)],
            "arrival_time_us": [99 * DAY_US],
            "position": [9],
        },
        schema_overrides={"value": pl.Int32},
    )
    outcomes = pl.LazyFrame(
        [("t", place, 1, place, int(report)) for place, report in enumerate(reports)],
        schema=["transaction_id", "outcome_time_us", "row", "position", "outcome"],
        orient="row",
    ).cast({"transaction_id": pl.String, "outcome_time_us": pl.Int64, "outcome": pl.Int32})
    found = usable(
        transactions,
        standing if verdict else standing.clear(),
        outcomes,
        labels,
        NOW_US,
        silence_us=silence_us,
    )
    rows = found.select("is_fraud", "label_known_us").collect().rows()
    return rows[0] if rows else None


LEGITIMATE = (False, NOW_US)


def test_a_verdict_counts_since_it_arrived_whatever_became_of_the_payment() -> None:
    for outcome in (Outcome.APPROVE, Outcome.DECLINE, Outcome.REVIEW):
        assert one(outcome=outcome, verdict=LabelValue.FRAUD) == (True, 99 * DAY_US)
        assert one(outcome=outcome, verdict=LabelValue.LEGITIMATE) == (False, 99 * DAY_US)


def test_an_unlabelled_approval_is_legitimate_at_maturity_and_not_a_microsecond_before() -> None:
    assert one() == LEGITIMATE
    assert one(event_time_us=FRESH_US) is None


def test_a_fresh_verdict_waits_for_its_cohort_unless_asked_for() -> None:
    assert one(event_time_us=FRESH_US, verdict=LabelValue.FRAUD) is None
    waits_us = MATURITY.maturity
    fraud = one(event_time_us=FRESH_US, verdict=LabelValue.FRAUD, silence_us=waits_us)
    assert fraud == (True, 99 * DAY_US)
    assert one(event_time_us=FRESH_US, silence_us=waits_us) is None


def test_a_silence_that_is_asked_for_teaches_sooner_than_the_maturity() -> None:
    for silence_us, known in ((7 * DAY_US, (False, NOW_US)), (7 * DAY_US + 1, None)):
        assert one(event_time_us=NOW_US - 7 * DAY_US, silence_us=silence_us) == known
    assert one(event_time_us=NOW_US - 7 * DAY_US, outcome=Outcome.DECLINE, silence_us=DAY_US) is None


def test_an_unexplored_decline_never_counts_as_legitimate_and_an_explored_one_does() -> None:
    assert one(outcome=Outcome.DECLINE) is None
    assert one(outcome=Outcome.APPROVE, explored=True) == LEGITIMATE


@pytest.mark.parametrize("outcome", [Outcome.CHALLENGE, Outcome.REVIEW, Outcome.UNSPECIFIED])
def test_what_was_held_up_counts_only_when_reported_completed(outcome: Outcome) -> None:
    assert one(outcome=outcome) is None
    assert one(outcome=outcome, reports=(PaymentOutcome.COMPLETED,)) == LEGITIMATE
    assert one(outcome=outcome, reports=(PaymentOutcome.CHALLENGE_PASSED,)) == LEGITIMATE


@pytest.mark.parametrize(
    "report",
    [
        PaymentOutcome.ISSUER_DECLINED,
        PaymentOutcome.CHALLENGE_FAILED,
        PaymentOutcome.CHALLENGE_ABANDONED,
        PaymentOutcome.REFUNDED,
    ],
)
def test_a_report_that_says_otherwise_ends_the_assumption_and_the_latest_counts(
    report: PaymentOutcome,
) -> None:
    assert one(reports=(report,)) is None
    assert one(reports=(PaymentOutcome.COMPLETED, report)) is None
    assert one(reports=(report, PaymentOutcome.COMPLETED)) == LEGITIMATE


def test_imported_history_counts_as_completed() -> None:
    assert one(outcome=Outcome.UNSPECIFIED, imported=True) == LEGITIMATE


def test_nothing_is_assumed_where_the_caller_reports_outcomes() -> None:
    strict = Labels(maturity=30 * DAY_US, assume_completed=False)
    assert one(labels=strict) is None
    assert one(labels=strict, imported=True) is None
    assert one(labels=strict, reports=(PaymentOutcome.COMPLETED,)) == LEGITIMATE


def test_what_arrived_after_t_is_not_there_and_the_log_order_is_kept() -> None:
    count = 50
    transactions = pl.LazyFrame(
        {
            "transaction_id": [f"t{i * 37 % count}" for i in range(count)],
            "event_time_us": [OLD_US - i for i in range(count)],
            "arrival_time_us": [NOW_US - 24 + i for i in range(count)],
            "outcome": [1] * count,
            "explored": [False] * count,
            "imported": [False] * count,
        }
    )
    standing = pl.LazyFrame(
        schema={
            "transaction_id": pl.String,
            "value": pl.Int32,
            "arrival_time_us": pl.Int64,
            "position": pl.Int64,
        }
    )
    outcomes = pl.LazyFrame(
        schema={
            "transaction_id": pl.String,
            "outcome_time_us": pl.Int64,
            "position": pl.Int64,
            "row": pl.Int32,
            "outcome": pl.Int32,
        }
    )
    found = judged(transactions, standing, outcomes, MATURITY, NOW_US).collect()
    assert found["transaction_id"].to_list() == [f"t{i * 37 % count}" for i in range(25)]
