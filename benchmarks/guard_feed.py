"""Honest label feeds, and ways to pollute them, on a table of payments whose truth is known.

    payments with `is_fraud` and `score`
      ─ chargebacks ─▶ every fraud of a day, seven days after its end
      ─ desk ────────▶ the hundred highest scores of a day, on the next morning
    a pollution takes the labels that an honest world would send, and sends others from a day on

Days are numbered from 1970; a day's payments are those of its 24 hours UTC.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from fraud.clock import DAY_US, HOUR_US
from fraud.records import Entry, LabelValue, PaymentOutcome

FRAUD, LEGITIMATE = int(LabelValue.FRAUD), int(LabelValue.LEGITIMATE)
CHARGEBACK_DAYS = 7
DESK_ROWS = 100
_LABELS = ("transaction_id", "arrival_time_us", "label_time_us", "value", "source", "submitter", "batch_id")

Pollution = Callable[[pl.DataFrame, pl.DataFrame, int], pl.DataFrame]
"""(payments, honest labels, first polluted day of arrival) → labels."""


@dataclass(frozen=True)
class Frames:
    """A history in memory, read as the archive is."""

    payments: pl.DataFrame
    sent: pl.DataFrame
    reports: pl.DataFrame

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return transactions with position ≤ `upto`."""
        return _upto(self.payments, upto)

    def labels(self, upto: int | None = None) -> pl.LazyFrame:
        """Return labels with position ≤ `upto`."""
        return _upto(self.sent, upto)

    def outcomes(self, upto: int | None = None) -> pl.LazyFrame:
        """Return payment outcomes with position ≤ `upto`."""
        return _upto(self.reports, upto)

    def retractions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return no retraction."""
        del upto
        return pl.LazyFrame(schema={"arrival_time_us": pl.Int64, "batch_id": pl.String})

    def applied(self, upto: int | None = None) -> pl.LazyFrame:
        """Return nothing that was put into effect."""
        del upto
        return pl.LazyFrame(schema={"position": pl.Int64, "label_view": pl.String})

    def features_changed(self, names: Sequence[str]) -> int:
        """Return 0: all were logged with the same features."""
        del names
        return 0

    def feedback(self, after: int, upto: int) -> list[Entry]:
        """Return nothing: no feature is folded anew."""
        del after, upto
        return []

    def labelled_coordinates(self) -> dict[str, tuple[tuple[int, ...], int, int]]:
        """Return nothing: no feature is folded anew."""
        return {}


def _upto(frame: pl.DataFrame, upto: int | None) -> pl.LazyFrame:
    return frame.lazy() if upto is None else frame.lazy().filter(pl.col("position") <= upto)


def frames(payments: pl.DataFrame, labels: pl.DataFrame, reports: pl.DataFrame | None = None) -> Frames:
    """Put labels in log order among the payments, which have positions."""
    kept = NO_REPORTS if reports is None else in_log(payments, reports)
    return Frames(payments, in_log(payments, labels), kept)


def in_log(payments: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """Return facts in order of arrival, each at the position of the last payment before it."""
    ordered = facts.sort("arrival_time_us", maintain_order=True)
    arrivals = payments["arrival_time_us"].to_numpy()
    places = np.searchsorted(arrivals, ordered["arrival_time_us"].to_numpy(), side="right")
    return ordered.with_columns(
        position=pl.Series(places, dtype=pl.Int64), row=pl.int_range(pl.len(), dtype=pl.Int32)
    )


NO_REPORTS = pl.DataFrame(
    schema={
        "transaction_id": pl.String,
        "arrival_time_us": pl.Int64,
        "outcome_time_us": pl.Int64,
        "outcome": pl.Int32,
        "position": pl.Int64,
        "row": pl.Int32,
    }
)


def completed(payments: pl.DataFrame) -> pl.DataFrame:
    """Report every payment as completed, an hour later."""
    return payments.select(
        "transaction_id",
        arrival_time_us=pl.col("event_time_us") + HOUR_US,
        outcome_time_us=pl.col("event_time_us") + HOUR_US,
        outcome=pl.lit(int(PaymentOutcome.COMPLETED), pl.Int32),
    )


def chargebacks(payments: pl.DataFrame) -> pl.DataFrame:
    """Label every fraud of a day, in one batch seven days after the day's end, at three in the morning."""
    arrival = (_day() + CHARGEBACK_DAYS + 1) * DAY_US + 3 * HOUR_US
    return _labels(payments.filter("is_fraud"), arrival, pl.lit(FRAUD, pl.Int32), "chargeback", "bank")


def desk(payments: pl.DataFrame, rows: int = DESK_ROWS) -> pl.DataFrame:
    """Label the highest scores of each day as what they are, at nine the next morning."""
    known = payments.drop_nulls("score")
    rank = pl.col("score").rank("ordinal", descending=True).over(_day())
    truth = pl.when("is_fraud").then(FRAUD).otherwise(LEGITIMATE).cast(pl.Int32)
    arrival = (_day() + 1) * DAY_US + 9 * HOUR_US
    return _labels(known.filter(rank <= rows), arrival, truth, "analyst", "desk")


def _day() -> pl.Expr:
    return pl.col("event_time_us") // DAY_US


def _labels(
    payments: pl.DataFrame, arrival: pl.Expr, value: pl.Expr, source: str, submitter: str
) -> pl.DataFrame:
    return (
        payments.select(
            "transaction_id",
            arrival_time_us=arrival,
            label_time_us=arrival,
            value=value,
            source=pl.lit(source),
            submitter=pl.lit(submitter),
        )
        .with_columns(batch_id=pl.format("{}-{}", "source", pl.col("arrival_time_us") // DAY_US))
        .select(_LABELS)
    )


def _from(day: int) -> pl.Expr:
    return pl.col("arrival_time_us") >= day * DAY_US


def silence(source: str) -> Pollution:
    """A source sends nothing from a day on."""

    def pollute(payments: pl.DataFrame, labels: pl.DataFrame, day: int) -> pl.DataFrame:
        del payments
        return labels.filter(~(_from(day) & (pl.col("source") == source)))

    return pollute


def outage(days: int) -> Pollution:
    """Nothing comes for some days, and is lost; applied to labels and to outcomes alike."""

    def pollute(payments: pl.DataFrame, facts: pl.DataFrame, day: int) -> pl.DataFrame:
        del payments
        return facts.filter(~(_from(day) & ~_from(day + days)))

    return pollute


def flood(source: str, submitter: str, rows: int, *, into_batch: bool, days: int = 1) -> Pollution:
    """So many legitimate payments of the week before are labelled fraud each day, for some days."""

    def pollute(payments: pl.DataFrame, labels: pl.DataFrame, day: int) -> pl.DataFrame:
        sent = [labels]
        for each in range(day, day + days):
            honest = payments.filter(_day().is_between(each - 8, each - 2) & ~pl.col("is_fraud"))
            chosen = honest.sample(rows, seed=each)
            arrival = pl.lit(each * DAY_US + 3 * HOUR_US)
            false = _labels(chosen, arrival, pl.lit(FRAUD, pl.Int32), source, submitter)
            if not into_batch:
                false = false.with_columns(batch_id=pl.format("{}-{}", pl.lit(submitter), pl.lit(each)))
            sent.append(false)
        return pl.concat(sent)

    return pollute


def flip(source: str, days: int = 1) -> Pollution:
    """A source labels the frauds of its batches as legitimate, for some days."""

    def pollute(payments: pl.DataFrame, labels: pl.DataFrame, day: int) -> pl.DataFrame:
        del payments
        turned = _from(day) & ~_from(day + days) & (pl.col("source") == source)
        value = pl.when(turned).then(pl.lit(LEGITIMATE, pl.Int32)).otherwise("value")
        return labels.with_columns(value=value)

    return pollute


def bought(rows: int, submitter: str = "analyst-17", *, honest: int = 0) -> Pollution:
    """Each day from a day on, an analyst calls so many frauds of the day before legitimate.

    So many honest payments of that day as well, which hides nobody.
    """

    def pollute(payments: pl.DataFrame, labels: pl.DataFrame, day: int) -> pl.DataFrame:
        place = pl.int_range(pl.len()).over(_day(), "is_fraud")
        chosen = payments.filter(_day() >= day - 1, place < pl.when("is_fraud").then(rows).otherwise(honest))
        arrival = (_day() + 1) * DAY_US + 18 * HOUR_US
        cleared = _labels(chosen, arrival, pl.lit(LEGITIMATE, pl.Int32), "analyst", submitter)
        return pl.concat([labels, cleared.with_columns(batch_id=pl.format("{}-{}", "submitter", "batch_id"))])

    return pollute


def drip(share: float) -> Pollution:
    """A share of each day's verdicts is turned round, and as many honest payments are labelled fraud."""

    def pollute(payments: pl.DataFrame, labels: pl.DataFrame, day: int) -> pl.DataFrame:
        rng = np.random.default_rng(day)
        late = labels.filter(_from(day))
        turned = pl.Series(rng.random(len(late)) < share)
        opposite = pl.when(pl.col("value") == FRAUD).then(LEGITIMATE).otherwise(FRAUD).cast(pl.Int32)
        late = late.with_columns(value=pl.when(turned).then(opposite).otherwise("value"))
        count = int(turned.sum())
        if not count:
            return pl.concat([labels.filter(~_from(day)), late])
        stamps = late.filter(turned).select(pl.exclude("transaction_id", "value"))
        honest = payments.filter((_day() >= day - 8) & ~pl.col("is_fraud")).sample(count, seed=day)
        false = stamps.with_columns(transaction_id=honest["transaction_id"], value=pl.lit(FRAUD, pl.Int32))
        return pl.concat([labels.filter(~_from(day)), late, false.select(_LABELS)])

    return pollute
