"""Loads a history of transactions and frauds into an empty log (`fraud import`).

    file → columns by [import] → sorted by arrival → surrogates, features by the kernel
      → log, in chunks; each fraud's label at its own arrival, between the transactions

Arrival comes from a column, else from event time; labels get `label_delay` on
top, or a column of their own. A label that becomes known only after the history
ends (log clock) or after now (wall clock) is not loaded but counted: it arrives
through `fraud label push` when its time has come.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fraud.clock import WallClock
from fraud.errors import ConfigError, NotAllowedNow
from fraud.eventlog.lock import lock_data_folder
from fraud.eventlog.log import EventLog, NewToken
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.batches import digest_of
from fraud.labels.standing import ConflictRule
from fraud.records import NO_DECISION, Event, Label, LabelsSubmitted, LabelValue, Scored
from fraud.serving.history_table import History, read_history
from fraud.serving.recovery import Snapshots
from fraud.settings import Settings

_CHUNK_ROWS = 20_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What was loaded, and the labels whose time has not come."""

    transactions: int
    frauds: int
    labels_waiting: int
    first_event_us: int
    last_event_us: int


def import_history(
    settings: Settings,
    path: Path,
    progress: Progress | None = None,
    *,
    until_us: int | None = None,
) -> ImportSummary:
    """Load a CSV or Parquet history into the empty log of a data folder.

    `progress(done, total)` is called per chunk of rows; `until_us` leaves out
    events at or after it.

    Raises:
        ConfigError: there is no `[import]` section.
        InvalidInput: the file lacks a column, or a row cannot be accepted; nothing is loaded.
        NotAllowedNow: the log is not empty, or a scorer owns the folder.
    """
    if settings.import_ is None:
        raise ConfigError("import: the section is missing; map the history's columns in [import]")
    history = read_history(settings, path, until_us)
    with lock_data_folder(settings.data_dir):
        log = SqliteEventLog.open(
            settings.places.log,
            writable=True,
            entity_names=settings.schema_.entity_names,
            durability=settings.log.durability,
        )
        try:
            if log.head():
                raise NotAllowedNow(
                    f"{settings.places.log}: holds {log.head()} events; a history goes into an empty log only"
                )
            return _load(settings, history, log, progress)
        finally:
            log.close()


def _load(settings: Settings, history: History, log: EventLog, progress: Progress | None) -> ImportSummary:
    spec = FeatureSpec.of(settings)
    fold = FeatureFold(spec, ConflictRule.of(settings.labels))
    end_us = WallClock().now_us() if settings.service.clock == "wall" else history.arrival_us_last
    labels = _Labels(history, end_us, settings)
    tokens = _Tokens(history.tokens, history.rows.surrogates)
    total = len(history.ids)
    for start in range(0, total, _CHUNK_ROWS):
        stop = min(start + _CHUNK_ROWS, total)
        events, arrivals = _chunk(history, labels, fold, start, stop)
        first = log.append(events, arrivals, tokens.upto(stop))
        fold.advance(first + len(events) - 1)
        if progress is not None:
            progress(stop, total)
    late_events, late_arrivals = labels.rest(fold)
    if late_events:
        fold.advance(log.append(late_events, late_arrivals, []) + len(late_events) - 1)
    Snapshots(settings.places.state, settings.log.snapshots_kept).write(fold)
    return ImportSummary(
        total,
        labels.given,
        labels.waiting,
        int(history.rows.event_time_us[0]),
        int(history.rows.event_time_us[-1]),
    )


def _chunk(
    history: History, labels: "_Labels", fold: FeatureFold, start: int, stop: int
) -> tuple[list[Event], list[int]]:
    """Return the events of rows `start` to `stop` with the labels that arrive between them."""
    events: list[Event] = []
    arrivals: list[int] = []
    at = start
    while at < stop:
        until = min(labels.next_row(), stop)
        if until > at:
            part = history.part(at, until)
            features = fold.score(history.ids[at:until], part).features
            events.extend(_scored(history, at, features))
            arrivals.extend(history.arrival_us[at:until].tolist())
            at = until
        while labels.next_row() <= at and at < len(history.ids):
            event, arrival_us = labels.take(fold)
            events.append(event)
            arrivals.append(arrival_us)
    return events, arrivals


def _scored(history: History, start: int, features: NDArray[np.float32]) -> Iterator[Scored]:
    stop = start + len(features)
    columns = zip(
        history.ids[start:stop],
        history.rows.event_time_us[start:stop].tolist(),
        history.rows.surrogates[start:stop].tolist(),
        history.rows.amount_minor[start:stop].tolist(),
        history.rows.numerics[start:stop].tolist(),
        history.categoricals[start:stop],
        features,
        strict=True,
    )
    for transaction_id, time_us, surrogates, amount, numerics, words, row in columns:
        yield Scored(
            transaction_id,
            time_us,
            history.model,
            tuple(surrogates),
            amount,
            history.currency,
            amount,
            tuple(numerics),
            words,
            row.tobytes(),
            NO_DECISION,
            imported=True,
        )


class _Labels:
    """The frauds of a history in order of arrival, one event per moment."""

    def __init__(self, history: History, end_us: int, settings: Settings) -> None:
        assert settings.import_ is not None
        self._history = history
        self._source = settings.import_.label_source
        frauds = np.flatnonzero(history.is_fraud)
        order = frauds[np.argsort(history.label_us[frauds], kind="stable")]
        self.given = int(np.count_nonzero(history.label_us[order] <= end_us))
        self.waiting = len(order) - self.given
        self._rows = order[: self.given]
        self._times = history.label_us[self._rows]
        # A label goes before the first transaction that arrives after it.
        self._before = np.searchsorted(history.arrival_us, self._times, side="right")
        self._next = 0
        self._parts: dict[str, int] = {}

    def next_row(self) -> int:
        """Return the row before which the next label goes; beyond all rows when none is left."""
        return int(self._before[self._next]) if self._next < self.given else len(self._history.ids) + 1

    def take(self, fold: FeatureFold) -> tuple[LabelsSubmitted, int]:
        """Return the next label event with its arrival, folded."""
        time_us = int(self._times[self._next])
        stop = int(np.searchsorted(self._times, time_us, side="right"))
        rows = self._rows[self._next : stop].tolist()
        self._next = stop
        day = np.datetime64(time_us, "us").astype("datetime64[D]")
        batch_id = f"import-{day}"
        part = self._parts[batch_id] = self._parts.get(batch_id, -1) + 1
        labels = tuple(Label(self._history.ids[row], LabelValue.FRAUD, time_us) for row in rows)
        event = LabelsSubmitted(
            batch_id, part, self._source, "import", labels, digest_of(self._source, "import", labels)
        )
        surrogates, times = self._history.rows.surrogates, self._history.rows.event_time_us
        known = {
            self._history.ids[row]: Coordinates(tuple(surrogates[row].tolist()), int(times[row]))
            for row in rows
        }
        fold.take_labels(event, known)
        return event, time_us

    def rest(self, fold: FeatureFold) -> tuple[list[Event], list[int]]:
        """Return what is left after the last transaction."""
        events: list[Event] = []
        arrivals: list[int] = []
        while self._next < self.given:
            event, arrival_us = self.take(fold)
            events.append(event)
            arrivals.append(arrival_us)
        return events, arrivals


class _Tokens:
    """Hands tokens to the log with the first chunk that uses them."""

    def __init__(self, tokens: list[list[str]], surrogates: NDArray[np.int32]) -> None:
        self._tokens = tokens
        self._highest = np.maximum.accumulate(surrogates, axis=0)
        self._given = [0] * len(tokens)

    def upto(self, stop: int) -> list[NewToken]:
        """Return the tokens that rows before `stop` use and none returned before."""
        new: list[NewToken] = []
        for entity, tokens in enumerate(self._tokens):
            highest = int(self._highest[stop - 1, entity]) + 1
            new.extend(NewToken(entity, i, tokens[i]) for i in range(self._given[entity], highest))
            self._given[entity] = max(self._given[entity], highest)
        return new
