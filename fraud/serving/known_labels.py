"""The labels that are known of one payment: those of the archive, then those of the log beyond it.

archive: rows of `labels` by transaction id  ─┐
log: label batches behind the archive's end  ─┴─► in order of arrival, each with its batch
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from fraud.archive.archive import Archive
from fraud.eventlog.log import EventLog
from fraud.records import Label, LabelsSubmitted, LabelValue

_BATCHES = 1_000
"""Parts of batches that are looked through in one go."""


@dataclass(frozen=True, slots=True)
class KnownLabel:
    """A label with where it came from, and whether its batch was taken back."""

    label: Label
    arrival_time_us: int
    source: str
    submitter: str
    batch_id: str
    retracted: bool


def known_labels(log: EventLog, archive: Archive, transaction_id: str) -> list[KnownLabel]:
    """Return every label of a payment in the order they came in; comments are left out."""
    with archive.reading():
        archived = archive.position()
        rows = (
            archive.labels(archived)
            .filter(pl.col("transaction_id") == transaction_id)
            .sort("position", "row")
            .select("value", "label_time_us", "arrival_time_us", "source", "submitter", "batch_id")
            .collect()
        )
    found = []
    for value, time_us, arrival_us, source, submitter, batch_id in rows.iter_rows():
        label = Label(transaction_id, LabelValue(value), time_us)
        retracted = log.is_retracted(batch_id)
        found.append(KnownLabel(label, arrival_us, source, submitter, batch_id, retracted))
    return found + list(_beyond(log, archived, transaction_id))


def _beyond(log: EventLog, after: int, transaction_id: str) -> Iterator[KnownLabel]:
    while batches := log.batches(0, "", after, _BATCHES):
        for batch in batches:
            (entry,) = log.read(batch.position - 1, 1)
            assert isinstance(entry.event, LabelsSubmitted)
            for label in entry.event.labels:
                if label.transaction_id == transaction_id:
                    yield KnownLabel(
                        Label(transaction_id, label.value, label.label_time_us),
                        entry.arrival_time_us,
                        batch.source,
                        batch.submitter,
                        batch.batch_id,
                        batch.retracted,
                    )
        after = batches[-1].position
