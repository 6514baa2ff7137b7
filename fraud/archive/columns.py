"""Entries as columns, and columns as entries. Pure; every column is named here.

    transactions   one row per Scored entry
    labels         one row per label, `row` counts within its entry
    outcomes       one row per report, `row` counts within its entry
    applied        one row per Applied entry
    retractions    one row per BatchRetracted entry
    listings       one row per EntityListed entry
    headings       one row per heading, `position` the one that it holds from

Not given is null: surrogate -1, numeric NaN, categorical "". A feature's NaN
stays NaN, bit for bit; a feature is null only in rows logged before it
existed or while it meant something else, and all are null in rows logged without
features. An entry without labels or reports keeps its place by one row with `row` -1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.records import (
    FEATURE_BYTES,
    MISSING_SURROGATE,
    Applied,
    BatchRetracted,
    Decision,
    EntityListed,
    Entry,
    Event,
    Heading,
    Label,
    LabelsSubmitted,
    LabelValue,
    Outcome,
    OutcomeReport,
    OutcomesReported,
    PaymentOutcome,
    Scored,
    ShadowScore,
)
from fraud.settings.schema import Schema

NO_ROW = -1
"""`row` of the placeholder for an entry that has none."""

LABELS: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "row": pl.Int32(),
    "arrival_time_us": pl.Int64(),
    "label_time_us": pl.Int64(),
    "transaction_id": pl.String(),
    "value": pl.Int32(),
    "source": pl.String(),
    "submitter": pl.String(),
    "batch_id": pl.String(),
    "part": pl.Int32(),
    "comment": pl.String(),
    "digest": pl.String(),
}
OUTCOMES: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "row": pl.Int32(),
    "arrival_time_us": pl.Int64(),
    "outcome_time_us": pl.Int64(),
    "transaction_id": pl.String(),
    "outcome": pl.Int32(),
}
APPLIED: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "arrival_time_us": pl.Int64(),
    "ledger_seq": pl.Int64(),
    "model": pl.String(),
    "version": pl.String(),
    "policy_version": pl.String(),
    "label_view": pl.String(),
    "refused": pl.String(),
}


RETRACTIONS: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "arrival_time_us": pl.Int64(),
    "batch_id": pl.String(),
    "submitter": pl.String(),
    "reason": pl.String(),
}


LISTINGS: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "arrival_time_us": pl.Int64(),
    "list_name": pl.String(),
    "entity": pl.String(),
    "surrogate": pl.Int32(),
    "until_us": pl.Int64(),
    "actor": pl.String(),
    "reason": pl.String(),
}

HEADINGS: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "numerics": pl.List(pl.String()),
    "categoricals": pl.List(pl.String()),
    "features": pl.List(pl.Struct({"name": pl.String(), "definition": pl.String()})),
}

SHADOWS = pl.List(pl.Struct({"version": pl.String(), "score": pl.Float64(), "outcome": pl.Int32()}))
"""What each version in shadow made of a row; null where none was."""


def shadow_of(version: str) -> pl.Expr:
    """Return what a version in shadow made of each row, a struct; null where it was not in shadow."""
    own = pl.element().filter(pl.element().struct.field("version") == version)
    return pl.col("shadows").list.eval(own).list.first()


@dataclass(frozen=True, slots=True)
class TransactionColumns:
    """The columns of `transactions`, or of the rows under one heading."""

    entities: tuple[str, ...]
    numerics: tuple[str, ...]
    categoricals: tuple[str, ...]
    features: tuple[str, ...]

    @classmethod
    def of(cls, schema: Schema, feature_names: Sequence[str]) -> Self:
        """Name the columns of a configuration; each list stays in its order."""
        features = tuple((name, "") for name in feature_names)
        heading = Heading(schema.numeric_names, schema.categorical_names, features)
        return cls.under(heading, tuple(f"entity_{name}" for name in schema.entity_names))

    @classmethod
    def under(cls, heading: Heading, entities: tuple[str, ...]) -> Self:
        """Name the columns of a heading, beside those of the entities."""
        return cls(
            entities,
            tuple(f"numeric_{name}" for name in heading.numerics),
            tuple(f"categorical_{name}" for name in heading.categoricals),
            tuple(f"f_{name}" for name, _ in heading.features),
        )

    @property
    def feature_bytes(self) -> int:
        """Bytes of the features of a row that was logged with these columns."""
        return FEATURE_BYTES * len(self.features)

    @property
    def types(self) -> dict[str, pl.DataType]:
        """Column names with their types, in order."""
        return {
            "position": pl.Int64(),
            "arrival_time_us": pl.Int64(),
            "event_time_us": pl.Int64(),
            "transaction_id": pl.String(),
            "model": pl.String(),
            **dict.fromkeys(self.entities, pl.Int32()),
            "amount_minor": pl.Int64(),
            "currency": pl.String(),
            "amount_base_minor": pl.Int64(),
            **dict.fromkeys(self.numerics, pl.Float64()),
            **dict.fromkeys(self.categoricals, pl.String()),
            **dict.fromkeys(self.features, pl.Float32()),
            "score": pl.Float64(),
            "risk_score": pl.Int32(),
            "outcome": pl.Int32(),
            "version": pl.String(),
            "policy_version": pl.String(),
            "explored": pl.Boolean(),
            "propensity": pl.Float64(),
            "limits": pl.String(),
            "rule": pl.String(),
            "shadows": SHADOWS,
            "imported": pl.Boolean(),
        }

    def frame(self, entries: Sequence[Entry]) -> pl.DataFrame:
        """Return the rows of the Scored entries among `entries`, each logged with these columns."""
        rows = [(entry, entry.event) for entry in entries if isinstance(entry.event, Scored)]
        decisions = [event.decision for _, event in rows]
        columns: dict[str, Any] = {
            "position": [entry.position for entry, _ in rows],
            "arrival_time_us": [entry.arrival_time_us for entry, _ in rows],
            **{
                name: [getattr(event, name) for _, event in rows]
                for name in ("event_time_us", "transaction_id", "model", "amount_minor", "currency")
            },
            "amount_base_minor": [event.amount_base_minor for _, event in rows],
            "imported": [event.imported for _, event in rows],
            **_spread(self.entities, [event.surrogates for _, event in rows], MISSING_SURROGATE),
            **_spread(self.numerics, [event.numerics for _, event in rows], None),
            **_spread(self.categoricals, [event.categoricals for _, event in rows], ""),
            **self._feature_columns(rows),
            **{
                name: [getattr(decision, name) for decision in decisions]
                for name in ("score", "risk_score", "version", "policy_version", "explored", "propensity")
            },
            "outcome": [int(decision.outcome) for decision in decisions],
            "limits": [",".join(decision.limits) for decision in decisions],
            "rule": [decision.rule or None for decision in decisions],
            "shadows": [_shadow_cells(decision.shadows) for decision in decisions],
        }
        frame = pl.DataFrame(
            [pl.Series(name, columns[name], dtype=dtype) for name, dtype in self.types.items()]
        )
        return frame.with_columns(pl.col(self.numerics).fill_nan(None)) if self.numerics else frame

    def _feature_columns(self, rows: Sequence[tuple[Entry, Scored]]) -> dict[str, pl.Series]:
        absent = b"\x00" * self.feature_bytes
        joined = b"".join(event.features or absent for _, event in rows)
        matrix = np.frombuffer(joined, dtype="<f4").reshape(len(rows), len(self.features))
        logged = pl.Series([bool(event.features) for _, event in rows], dtype=pl.Boolean)
        columns = {
            name: pl.Series(name, np.ascontiguousarray(matrix[:, i])) for i, name in enumerate(self.features)
        }
        if logged.all():
            return columns
        return {name: pl.select(pl.when(logged).then(column)).to_series() for name, column in columns.items()}

    def events(self, frame: pl.DataFrame) -> Iterator[Entry]:
        """Return the entries whose rows stand in `frame`, which has the columns of `types`."""
        surrogates = frame.select(pl.col(self.entities).fill_null(MISSING_SURROGATE)).rows()
        numerics = frame.select(pl.col(self.numerics).fill_null(float("nan"))).rows()
        categoricals = frame.select(pl.col(self.categoricals).fill_null("")).rows()
        features = self._feature_bytes(frame)
        rest = frame.drop(*self.entities, *self.numerics, *self.categoricals, *self.features)
        for i, row in enumerate(rest.iter_rows(named=True)):
            decision = Decision(
                row["score"],
                row["risk_score"],
                Outcome(row["outcome"]),
                row["version"],
                row["policy_version"],
                row["explored"],
                row["propensity"],
                tuple(row["limits"].split(",")) if row["limits"] else (),
                row["rule"] or "",
                tuple(
                    ShadowScore(cell["version"], cell["score"], Outcome(cell["outcome"]))
                    for cell in row["shadows"] or ()
                ),
            )
            event = Scored(
                row["transaction_id"],
                row["event_time_us"],
                row["model"],
                surrogates[i] if self.entities else (),
                row["amount_minor"],
                row["currency"],
                row["amount_base_minor"],
                numerics[i] if self.numerics else (),
                categoricals[i] if self.categoricals else (),
                features[i],
                decision,
                row["imported"],
            )
            yield Entry(row["position"], row["arrival_time_us"], event)

    def _feature_bytes(self, frame: pl.DataFrame) -> list[bytes]:
        if not self.features or frame.is_empty():
            return [b""] * frame.height
        matrix: NDArray[np.float32] = np.empty((frame.height, len(self.features)), dtype="<f4")
        for i, name in enumerate(self.features):
            matrix[:, i] = frame[name].fill_null(float("nan")).to_numpy()
        logged = frame.select(pl.any_horizontal(pl.col(self.features).is_not_null())).to_series()
        joined, width = matrix.tobytes(), self.feature_bytes
        return [joined[i * width : (i + 1) * width] if held else b"" for i, held in enumerate(logged)]


def _shadow_cells(shadows: Sequence[ShadowScore]) -> list[dict[str, Any]] | None:
    return [{"version": it.version, "score": it.score, "outcome": int(it.outcome)} for it in shadows] or None


def _spread(names: Sequence[str], rows: Sequence[Sequence[Any]], missing: Any) -> dict[str, list[Any]]:
    """Turn rows into one list per name; `missing`, and what a short row lacks, becomes None."""
    spread: dict[str, list[Any]] = {}
    for i, name in enumerate(names):
        values = [row[i] if i < len(row) else missing for row in rows]
        spread[name] = [None if value == missing else value for value in values]
    return spread


def labels_frame(entries: Sequence[Entry]) -> pl.DataFrame:
    """Return the rows of `labels` for the LabelsSubmitted among `entries`."""
    empty = Label("", LabelValue.UNSPECIFIED, 0)
    rows = []
    for entry in entries:
        event = entry.event
        if isinstance(event, LabelsSubmitted):
            held = [*enumerate(event.labels)] or [(NO_ROW, empty)]
            batch = (event.source, event.submitter, event.batch_id, event.part)
            rows += [
                (
                    *(entry.position, row, entry.arrival_time_us, label.label_time_us),
                    *(label.transaction_id, int(label.value), *batch, label.comment, event.digest),
                )
                for row, label in held
            ]
    return pl.DataFrame(rows, schema=LABELS, orient="row")


def labels_events(frame: pl.DataFrame) -> Iterator[Entry]:
    """Return the entries whose rows stand in `frame`."""
    for group in frame.sort("position", "row").partition_by("position", maintain_order=True):
        rows = group.rows(named=True)
        head = rows[0]
        labels = tuple(
            Label(row["transaction_id"], LabelValue(row["value"]), row["label_time_us"], row["comment"])
            for row in rows
            if row["row"] != NO_ROW
        )
        event = LabelsSubmitted(
            head["batch_id"], head["part"], head["source"], head["submitter"], labels, head["digest"]
        )
        yield Entry(head["position"], head["arrival_time_us"], event)


def outcomes_frame(entries: Sequence[Entry]) -> pl.DataFrame:
    """Return the rows of `outcomes` for the OutcomesReported among `entries`."""
    empty = OutcomeReport("", PaymentOutcome.UNSPECIFIED, 0)
    rows = []
    for entry in entries:
        if isinstance(entry.event, OutcomesReported):
            held = [*enumerate(entry.event.reports)] or [(NO_ROW, empty)]
            rows += [
                (
                    *(entry.position, row, entry.arrival_time_us),
                    *(report.outcome_time_us, report.transaction_id, int(report.outcome)),
                )
                for row, report in held
            ]
    return pl.DataFrame(rows, schema=OUTCOMES, orient="row")


def outcomes_events(frame: pl.DataFrame) -> Iterator[Entry]:
    """Return the entries whose rows stand in `frame`."""
    for group in frame.sort("position", "row").partition_by("position", maintain_order=True):
        rows = group.rows(named=True)
        reports = tuple(
            OutcomeReport(row["transaction_id"], PaymentOutcome(row["outcome"]), row["outcome_time_us"])
            for row in rows
            if row["row"] != NO_ROW
        )
        yield Entry(rows[0]["position"], rows[0]["arrival_time_us"], OutcomesReported(reports))


def applied_frame(entries: Sequence[Entry]) -> pl.DataFrame:
    """Return the rows of `applied` for the Applied among `entries`."""
    rows = []
    for entry in entries:
        event: Event = entry.event
        if isinstance(event, Applied):
            served = (event.model, event.version, event.policy_version, event.label_view, event.refused)
            rows.append((entry.position, entry.arrival_time_us, event.ledger_seq, *served))
    return pl.DataFrame(rows, schema=APPLIED, orient="row")


def applied_events(frame: pl.DataFrame) -> Iterator[Entry]:
    """Return the entries whose rows stand in `frame`."""
    for position, arrival_us, ledger_seq, *served in frame.select(list(APPLIED)).iter_rows():
        yield Entry(position, arrival_us, Applied(ledger_seq, *served))


def retractions_frame(entries: Sequence[Entry]) -> pl.DataFrame:
    """Return the rows of `retractions` for the BatchRetracted among `entries`."""
    rows = []
    for entry in entries:
        event = entry.event
        if isinstance(event, BatchRetracted):
            rows.append(
                (entry.position, entry.arrival_time_us, event.batch_id, event.submitter, event.reason)
            )
    return pl.DataFrame(rows, schema=RETRACTIONS, orient="row")


def retractions_events(frame: pl.DataFrame) -> Iterator[Entry]:
    """Return the entries whose rows stand in `frame`."""
    for position, arrival_us, *held in frame.select(list(RETRACTIONS)).iter_rows():
        yield Entry(position, arrival_us, BatchRetracted(*held))


def listings_frame(entries: Sequence[Entry]) -> pl.DataFrame:
    """Return the rows of `listings` for the EntityListed among `entries`."""
    rows = []
    for entry in entries:
        event = entry.event
        if isinstance(event, EntityListed):
            listed = (event.list_name, event.entity, event.surrogate, event.until_us)
            rows.append((entry.position, entry.arrival_time_us, *listed, event.actor, event.reason))
    return pl.DataFrame(rows, schema=LISTINGS, orient="row")


def listings_events(frame: pl.DataFrame) -> Iterator[Entry]:
    """Return the entries whose rows stand in `frame`."""
    for position, arrival_us, *held in frame.select(list(LISTINGS)).iter_rows():
        yield Entry(position, arrival_us, EntityListed(*held))
