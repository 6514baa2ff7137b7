"""Loads a history of transactions and frauds into an empty log (`fraud import`).

    file → columns by [import] → sorted by arrival → surrogates, features by the kernel
      → log, in chunks of one transaction; each fraud's label at its own arrival, between the transactions

Arrival comes from a column, else from event time; labels get `label_delay` on
top, or a column of their own. A label that becomes known only after the history
ends (log clock) or after now (wall clock) is not loaded but given back: it arrives
through `fraud label push` when its time has come, or its payment counts as honest.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from fraud.archive.archive import Archive
from fraud.clock import WallClock
from fraud.errors import ConfigError, NotAllowedNow, Unavailable
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.lock import lock_data_folder
from fraud.eventlog.log import NewToken
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.faults import pass_point
from fraud.features.archive import open_archive
from fraud.features.fold import FeatureFold
from fraud.features.replay import replay_columns
from fraud.features.spec import FeatureSpec, heading_of
from fraud.labels.batches import IMPORTER, digest_of
from fraud.labels.standing import ConflictRule
from fraud.policy.lists import Lists
from fraud.policy.spending import Spending
from fraud.records import NO_DECISION, Entry, Label, LabelsSubmitted, LabelValue, Scored
from fraud.serving.history_table import History, read_history
from fraud.serving.intake import TransactionIntake
from fraud.serving.recovery import Beside, Snapshots, check_nothing_ahead
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.history")
_CHUNK_ROWS = 20_000
LATER = "labels-later.jsonl"
"""In the data folder: the frauds of a history that become known after it ends."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What was loaded, and the labels whose time has not come, by time: they are in no log."""

    transactions: int
    frauds: int
    later: tuple[Label, ...]
    first_event_us: int
    last_event_us: int


def import_history(
    settings: Settings,
    path: Path,
    progress: Progress | None = None,
    *,
    until_us: int | None = None,
    keep_later: Callable[[Sequence[Label]], None] = lambda _: None,
) -> ImportSummary:
    """Load a CSV or Parquet history into the empty log of a data folder.

    All of it is there on return. An import that ends before, however it ends, leaves the log empty,
    and nobody sees a part of it. `progress(done, total)` is called per chunk of rows; `until_us`
    leaves out events at or after it. `keep_later` is given the labels that are not loaded, where there
    are any, before the rest is.

    Raises:
        ConfigError: there is no `[import]` section.
        InvalidInput: the file lacks a column, or a row cannot be accepted; nothing is loaded.
        NotAllowedNow: the log is not empty, or a scorer owns the folder.
        Damaged: the folder holds archive or snapshots of another log.
        Unavailable: the log cannot be written, and nothing is loaded.
        FraudError: what `keep_later` raises; nothing is loaded.
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
            snapshots = Snapshots(settings.places.state, settings.log.snapshots_kept)
            check_empty(settings, log, EntityKey.of(settings).fingerprint, open_archive(settings), snapshots)
            log.hold_to_heading(heading_of(settings))
            return _load(settings, history, log, snapshots, progress, keep_later)
        finally:
            log.close()


def check_empty(
    settings: Settings, log: SqliteEventLog, fingerprint: str, archive: Archive, snapshots: Snapshots
) -> None:
    """Refuse a log that a history may not go into.

    Raises:
        NotAllowedNow: it is not empty.
        ConfigError: it was made under another key, or for another base currency.
        Damaged: archive or snapshots are of another log.
    """
    if log.head():
        raise NotAllowedNow(
            f"{settings.places.log}: holds {log.head()} events; a history goes into an empty log only"
        )
    log.hold_to_key(fingerprint)
    log.hold_to_currency(settings.service.currency)
    check_nothing_ahead(log, archive, snapshots)


def _load(
    settings: Settings,
    history: History,
    log: SqliteEventLog,
    snapshots: Snapshots,
    progress: Progress | None,
    keep_later: Callable[[Sequence[Label]], None],
) -> ImportSummary:
    spec = FeatureSpec.of(settings)
    fold = FeatureFold(spec, ConflictRule.of(settings.labels))
    labels = _labels_of(settings, history)
    tokens = _Tokens(_stored(settings, history.tokens), history.rows.surrogates)
    total = len(history.ids)
    # One transaction: a log that holds half a history would be read as a whole one.
    with log.together():
        for start in range(0, total, _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, total)
            due = labels.take(stop if stop < total else None)
            entries = _entries(history, fold, start, stop, due)
            log.append([e.event for e in entries], [e.arrival_time_us for e in entries], tokens.upto(stop))
            pass_point("import.appended")
            if progress is not None:
                progress(stop, total)
        later = labels.later()
        if later:
            keep_later(later)
    # Nobody is listed yet, and a first start need not read the history to find that out.
    beside: dict[Beside, Spending | Lists] = {"lists": Lists(settings.schema_.entity_names)}
    log.secure()
    try:
        snapshots.write(fold, beside)
    except Unavailable as error:
        # The log has all of it, so that the first start takes longer and nothing is lost.
        _log.warning("no snapshot of what was imported", why=error)
    return _summary(history, labels)


def summary_of(settings: Settings, history: History) -> ImportSummary:
    """Return what would be loaded of a history.

    Raises:
        InvalidInput: an entity's token cannot be accepted.
    """
    _stored(settings, history.tokens)
    return _summary(history, _labels_of(settings, history))


def _summary(history: History, labels: "_Labels") -> ImportSummary:
    times = history.rows.event_time_us
    return ImportSummary(len(history.ids), labels.given, labels.later(), int(times[0]), int(times[-1]))


def _labels_of(settings: Settings, history: History) -> "_Labels":
    end_us = WallClock().now_us() if settings.service.clock == "wall" else history.arrival_us_last
    return _Labels(history, end_us, settings)


def _stored(settings: Settings, tokens: list[list[str]]) -> list[list[str]]:
    """Return what is stored for the tokens of each entity, checked as those of a payment are."""
    names, key, intake = settings.schema_.entity_names, EntityKey.of(settings), TransactionIntake(settings)
    for name, own in zip(names, tokens, strict=True):
        for token in own:
            intake.check_token(name, token)
    return [[key.stored(name, it) for it in own] for name, own in zip(names, tokens, strict=True)]


def _entries(history: History, fold: FeatureFold, start: int, stop: int, due: list["_Due"]) -> list[Entry]:
    """Return rows `start` to `stop` and the labels due between them as log entries, folded."""
    before = np.array([label.before_row - start for label in due], np.int64)
    places = np.arange(stop - start)
    first = fold.position + 1
    positions = first + places + np.searchsorted(before, places, side="right")
    labels = [
        Entry(int(first + row + i), label.arrival_us, label.event)
        for i, (row, label) in enumerate(zip(before.tolist(), due, strict=True))
    ]
    ids, rows = history.ids[start:stop], history.rows.part(start, stop)
    features = replay_columns(
        fold, positions, ids, rows, labels, lambda names: history.coordinates(names, stop)
    )
    scored = _scored(history, start, features)
    arrivals = history.arrival_us[start:stop].tolist()
    transactions = [
        Entry(position, arrival_us, event)
        for position, arrival_us, event in zip(positions.tolist(), arrivals, scored, strict=True)
    ]
    return list(heapq.merge(transactions, labels, key=lambda entry: entry.position))


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


@dataclass(frozen=True, slots=True)
class _Due:
    """A label event, its arrival, and the row it goes before."""

    before_row: int
    arrival_us: int
    event: LabelsSubmitted


class _Labels:
    """The frauds of a history in order of arrival, one event per moment, a batch per day."""

    def __init__(self, history: History, end_us: int, settings: Settings) -> None:
        assert settings.import_ is not None
        self._history = history
        self._source = settings.import_.label_source
        frauds = np.flatnonzero(history.is_fraud)
        order = frauds[np.argsort(history.label_us[frauds], kind="stable")]
        self.given = int(np.count_nonzero(history.label_us[order] <= end_us))
        self._rows, self._later = order[: self.given], order[self.given :]
        self._times = history.label_us[self._rows]
        # A label goes before the first transaction that arrives after it.
        self._before = np.searchsorted(history.arrival_us, self._times, side="right")
        self._next = 0
        self._parts: dict[str, int] = {}

    def take(self, before_row: int | None) -> list[_Due]:
        """Return the label events that go before a row and were not taken yet; None: all that are left."""
        due = []
        while self._next < self.given and (before_row is None or self._before[self._next] < before_row):
            time_us = int(self._times[self._next])
            stop = int(np.searchsorted(self._times, time_us, side="right"))
            due.append(_Due(int(self._before[self._next]), time_us, self._event(stop, time_us)))
            self._next = stop
        return due

    def later(self) -> tuple[Label, ...]:
        """Return the labels whose time has not come, by time."""
        return self._labels(self._later)

    def _labels(self, rows: NDArray[np.intp]) -> tuple[Label, ...]:
        ids, times = self._history.ids, self._history.label_us
        return tuple(Label(ids[row], LabelValue.FRAUD, int(times[row])) for row in rows.tolist())

    def _event(self, stop: int, time_us: int) -> LabelsSubmitted:
        batch_id = f"import-{np.datetime64(time_us, 'us').astype('datetime64[D]')}"
        part = self._parts[batch_id] = self._parts.get(batch_id, -1) + 1
        labels = self._labels(self._rows[self._next : stop])
        digest = digest_of(self._source, IMPORTER, labels)
        return LabelsSubmitted(batch_id, part, self._source, IMPORTER, labels, digest)


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
