"""Which transactions may be learned from at T, and as what.

    a verdict that stands                      → FRAUD or LEGITIMATE, known since its arrival
    none, payment completed, matured           → LEGITIMATE, known since event time + maturity
    none, not completed (an unexplored decline, → not at all: absence of fraud says nothing
    a failed challenge, a refund, a review)      about a payment that did not happen

Completed means: reported as completed or its challenge passed; or, with
`labels.assume_completed`, approved (explored declines are) or imported, and
nothing else reported. The latest report counts. A refund takes away the reason
for a chargeback, so an unlabelled refund is no proof of honesty.

Only matured events enter by default, labelled ones too: among fresh events the
frauds are labelled first, and would make the rate look higher than it is. Who would
rather learn early says how long a silence is enough (`silence_us`): a verdict counts at
once then, and a fraud that is reported later than that was learned as honest until it is.
"""

import polars as pl

from fraud.records import LabelValue, Outcome, PaymentOutcome
from fraud.settings.learning import Labels

_COMPLETED = (int(PaymentOutcome.COMPLETED), int(PaymentOutcome.CHALLENGE_PASSED))


def usable(
    transactions: pl.LazyFrame,
    standing: pl.LazyFrame,
    outcomes: pl.LazyFrame,
    labels: Labels,
    at_us: int,
    *,
    silence_us: int | None = None,
) -> pl.LazyFrame:
    """Return the transactions that may be learned from, with `is_fraud` and `label_known_us`.

    Args:
        transactions: as the archive holds them; at least transaction_id,
            event_time_us, arrival_time_us, outcome, explored, imported. Their
            order and other columns are kept.
        standing: `standing_table` of the labels known at `at_us`.
        outcomes: reports as the archive holds them, known at `at_us`.
        labels: the section of the settings.
        at_us: the moment T, microseconds UTC.
        silence_us: verdicts count at once, and their absence once an event is so old; None: both wait
            for the maturity.

    Returns:
        The columns of `transactions`, `is_fraud` bool, and `label_known_us`
        int64: when the label came to be known.
    """
    joined = judged(transactions, standing, outcomes, labels, at_us, silence_us=silence_us)
    return joined.filter(pl.col("is_fraud").is_not_null()).drop("failed_challenge")


def judged(
    transactions: pl.LazyFrame,
    standing: pl.LazyFrame,
    outcomes: pl.LazyFrame,
    labels: Labels,
    at_us: int,
    *,
    silence_us: int | None = None,
) -> pl.LazyFrame:
    """Return every transaction known at T; `is_fraud` and `label_known_us` are null where not usable.

    `label_position` is that of the label entry which carries the verdict, null
    where none does; `failed_challenge` bool says what the latest report says. Arguments as for `usable`.
    """
    verdicts = standing.select(
        "transaction_id",
        verdict=pl.col("value"),
        verdict_known_us=pl.col("arrival_time_us"),
        verdict_position=pl.col("position"),
    )
    reports = (
        outcomes.sort("transaction_id", "outcome_time_us", "position", "row")
        .unique("transaction_id", keep="last", maintain_order=True)
        .select("transaction_id", report=pl.col("outcome"))
    )
    matured_us = pl.col("event_time_us") + (labels.maturity if silence_us is None else silence_us)
    matured = matured_us <= at_us
    verdict_counts = pl.col("verdict").is_not_null() & (matured if silence_us is None else pl.lit(True))
    legitimate = _completed(labels) & pl.col("verdict").is_null() & matured
    return (
        transactions.filter(pl.col("arrival_time_us") <= at_us)
        .join(verdicts, on="transaction_id", how="left", maintain_order="left")
        .join(reports, on="transaction_id", how="left", maintain_order="left")
        .with_columns(
            is_fraud=pl.when(verdict_counts)
            .then(pl.col("verdict") == int(LabelValue.FRAUD))
            .when(legitimate)
            .then(pl.lit(False)),
            label_known_us=pl.when(verdict_counts)
            .then(pl.col("verdict_known_us"))
            .when(legitimate)
            .then(matured_us),
            label_position=pl.when(verdict_counts).then(pl.col("verdict_position")),
            failed_challenge=pl.col("report").eq_missing(int(PaymentOutcome.CHALLENGE_FAILED)),
        )
        .drop("verdict", "verdict_known_us", "verdict_position", "report")
    )


def _completed(labels: Labels) -> pl.Expr:
    reported = pl.col("report").is_in(_COMPLETED).fill_null(False)
    if not labels.assume_completed:
        return reported
    let_through = (pl.col("outcome") == int(Outcome.APPROVE)) | pl.col("explored") | pl.col("imported")
    return reported | (let_through & pl.col("report").is_null())
