"""Seven Delta tables that together hold the log, exactly once, and give it back.

    log ──► span of entries ──► labels, outcomes, applied, retractions, listings   only those with new rows
        └─► headings        ──► headings                                           only new ones
                            └─► transactions                                       always, and last

`transactions` is committed last and also without rows, so its position is
that of the whole archive: what stands at or before it is in every table. A
crash between two tables leaves the others ahead; readers do not look past the
position, and the next copy skips what is there.

Rows stay as they came, under the names they were logged with (`headings`), and for ever:
training reads far back, and whatever of the log was pruned is rebuilt from here. Only
`erase` blanks a person's fields.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import polars as pl

from fraud.archive import columns
from fraud.archive.erasure import (
    Linked,
    Traces,
    comment_predicates,
    fields_predicate,
    linked_to,
    traces_of,
)
from fraud.archive.headings import Headed, Meanings, headings_frame, headings_in
from fraud.archive.lease import Lease
from fraud.archive.marking import NAME as MARK
from fraud.archive.marking import check_format, mark
from fraud.archive.spans import Readable, read_span
from fraud.archive.table import Held, Size, Table
from fraud.records import MISSING_SURROGATE, Entry
from fraud.settings.schema import Schema

RETENTION = timedelta(days=7)


class Archive:
    """The archive in `folder`, for one schema and the features of one configuration.

    Several processes may copy at once and any number may read. Opening raises
    `OtherFormat` where another release has written it in another format.
    """

    def __init__(self, folder: Path, schema: Schema, features: Mapping[str, str]) -> None:
        """`features` are names with what each means, in order (`FeatureSpec.definitions`)."""
        check_format(folder)
        self._features = dict(features)
        self._columns = columns.TransactionColumns.of(schema, tuple(features))
        self._transactions = Table(folder / "transactions", self._columns.types)
        self._labels = Table(folder / "labels", columns.LABELS)
        self._outcomes = Table(folder / "outcomes", columns.OUTCOMES)
        self._applied = Table(folder / "applied", columns.APPLIED)
        self._retractions = Table(folder / "retractions", columns.RETRACTIONS)
        self._listings = Table(folder / "listings", columns.LISTINGS)
        self._headings = Table(folder / "headings", columns.HEADINGS)
        self._folder = folder
        self._lease = Lease(folder)
        self._changed: dict[tuple[str, ...], tuple[int, int]] = {}
        self._meant: tuple[int | None, Meanings] = None, Meanings((), {})

    @property
    def _tables(self) -> dict[str, Table]:
        return {
            "labels": self._labels,
            "outcomes": self._outcomes,
            "applied": self._applied,
            "retractions": self._retractions,
            "listings": self._listings,
            "headings": self._headings,
            "transactions": self._transactions,
        }

    def reading(self) -> AbstractContextManager[None]:
        """Hold the files in place for the body of a `with`, however long it reads lazily.

        Only an erasure waits for that; copies and other readers do not.
        """
        return self._lease.shared()

    def position(self) -> int:
        """Return the position at and before which everything is in the archive; 0 for nothing."""
        return self._transactions.position()

    def secure(self) -> int:
        """Make the archive durable and return the position at and before which it then is; 0 for nothing.

        Copies sync what they commit, but one of another process may be about to. Ask here
        before anything is given up because the archive has it.

        Raises:
            Unavailable: a file cannot be synced.
        """
        with self.reading():
            # Looked at first: every table is then secured at a version that has what stands before it.
            position = self.position()
            for table in self._tables.values():
                table.secure()
            return position

    def versions(self) -> dict[str, int | None]:
        """Return the newest version of each table; None for one that does not exist yet."""
        return {name: table.version() for name, table in self._tables.items()}

    def copy_from(self, log: Readable, *, rows_max: int = 50_000, upto: int | None = None) -> int:
        """Copy what the log has beyond `position()`, at most to `upto`; return the new position.

        Goes in spans of about `rows_max` rows. Call it again after any error;
        nothing comes in twice. The log is made durable first: the archive is never ahead of it.

        Raises:
            Damaged: the log was pruned beyond the archive, so entries are missing for good.
            ConfigError: the log does not say with which features entries were logged.
            Unavailable: the archive cannot be written, or the log not made durable.
        """
        # A copy that is under way must be seen from the first one on; that it cannot be
        # made is said by the first commit.
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            if not (self._folder / MARK).exists():
                mark(self._folder)
        with self.reading():
            secured = log.secure()
            return self._copy(log, rows_max, secured if upto is None else min(upto, secured))

    def _copy(self, log: Readable, rows_max: int, target: int) -> int:
        position = self.position()
        # Asked for after the head: what stands before it has its heading by then.
        headings = log.headings()
        headed = Headed(self._columns, headings)
        while position < target:
            entries = read_span(log, position, target, rows_max)
            position = entries[-1].position
            self._labels.append(columns.labels_frame(entries), position, also_empty=False)
            self._outcomes.append(columns.outcomes_frame(entries), position, also_empty=False)
            self._applied.append(columns.applied_frame(entries), position, also_empty=False)
            self._retractions.append(columns.retractions_frame(entries), position, also_empty=False)
            self._listings.append(columns.listings_frame(entries), position, also_empty=False)
            self._headings.append(headings_frame(headings, position), position, also_empty=False)
            self._transactions.append(headed.frame(entries), position, also_empty=True)
            position = self.position()
        return position

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return a lazy scan of scored transactions with position <= `upto` (default: `position()`).

        One row per transaction in no promised order; sort by `position`.
        """
        return self._meanings().present(self._scan(self._transactions, upto))

    def _meanings(self) -> Meanings:
        """Return what the columns of features meant, as the newest version of `headings` has it."""
        version = self._headings.version()
        if self._meant[0] != version:
            self._changed.clear()
            with self.reading():
                self._meant = version, Meanings(headings_in(self._headings.scan().collect()), self._features)
        return self._meant[1]

    def labels(self, upto: int | None = None) -> pl.LazyFrame:
        """Return a lazy scan of labels, one row each; `upto` as in `transactions`."""
        return self._scan(self._labels, upto).filter(pl.col("row") != columns.NO_ROW)

    def outcomes(self, upto: int | None = None) -> pl.LazyFrame:
        """Return a lazy scan of payment outcomes, one row per report; `upto` as in `transactions`."""
        return self._scan(self._outcomes, upto).filter(pl.col("row") != columns.NO_ROW)

    def applied(self, upto: int | None = None) -> pl.LazyFrame:
        """Return a lazy scan of what the scorer put into effect; `upto` as in `transactions`."""
        return self._scan(self._applied, upto)

    def retractions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return a lazy scan of batches taken back; `upto` as in `transactions`."""
        return self._scan(self._retractions, upto)

    def listings(self, upto: int | None = None) -> pl.LazyFrame:
        """Return a lazy scan of entities put on lists and taken off; `upto` as in `transactions`."""
        return self._scan(self._listings, upto)

    def _scan(self, table: Table, upto: int | None) -> pl.LazyFrame:
        limit = self.position() if upto is None else upto
        return table.scan().filter(pl.col("position") <= limit)

    def find(self, transaction_ids: Sequence[str]) -> pl.DataFrame:
        """Return the rows of `transactions` with these ids, by position; unknown ids are left out."""
        if not transaction_ids:
            return pl.DataFrame(schema=self._columns.types)
        wanted = pl.col("transaction_id").is_in(list(transaction_ids))
        with self.reading():
            return self.transactions().filter(wanted).sort("position").collect()

    def find_entry(self, transaction_id: str) -> Entry | None:
        """Return one archived transaction as the entry it was in the log, or None."""
        return next(self._columns.events(self.find([transaction_id])), None)

    def labelled_coordinates(self, also: Collection[str] = ()) -> dict[str, tuple[tuple[int, ...], int, int]]:
        """Return surrogates, event time (µs UTC) and position of every transaction with a label.

        What label-fed state needs of transactions that the log no longer holds; `also` names
        transactions whose labels are not archived yet.
        """
        entities = [pl.col(name).fill_null(MISSING_SURROGATE) for name in self._columns.entities]
        with self.reading():
            named = pl.LazyFrame({"transaction_id": list(also)}, schema={"transaction_id": pl.String()})
            labelled = pl.concat([self.labels().select("transaction_id"), named]).unique()
            rows = (
                self.transactions()
                .join(labelled, on="transaction_id", how="semi")
                .select("transaction_id", "event_time_us", "position", *entities)
                .collect()
            )
        return {
            transaction_id: (tuple(surrogates), time_us, position)
            for transaction_id, time_us, position, *surrogates in rows.iter_rows()
        }

    def entries(
        self, after: int = 0, upto: int | None = None, *, positions_max: int = 50_000
    ) -> Iterator[Entry]:
        """Give the archived entries back in position order, `after` < position <= `upto`.

        Reads `positions_max` positions at a time. Content is as in the log,
        features bit for bit; a row logged before a feature existed has NaN for it.
        """
        last = self.position() if upto is None else min(upto, self.position())
        for start in range(after, last, positions_max):
            stop = min(start + positions_max, last)
            with self.reading():
                rows = self._meanings().present(_between(self._transactions, start, stop)).collect()
                found = [
                    *self._columns.events(rows),
                    *columns.labels_events(_between(self._labels, start, stop).collect()),
                    *columns.outcomes_events(_between(self._outcomes, start, stop).collect()),
                    *columns.applied_events(_between(self._applied, start, stop).collect()),
                    *columns.retractions_events(_between(self._retractions, start, stop).collect()),
                    *columns.listings_events(_between(self._listings, start, stop).collect()),
                ]
            yield from sorted(found, key=lambda entry: entry.position)

    def features_changed(self, names: Sequence[str]) -> int:
        """Return the last position that was logged before one of these features existed; 0 for none.

        Rows stay as they are, so what was looked at before is not looked at again.
        """
        position = self.position()
        wanted, every = pl.col([f"f_{name}" for name in names]), pl.col(self._columns.features)
        before = pl.any_horizontal(wanted.is_null()) & pl.any_horizontal(every.is_not_null())
        with self.reading():
            rows = self.transactions(position)
            # Only now: where meanings are new, so is what was looked at.
            looked_at, last = self._changed.get(tuple(names), (0, 0))
            rows = rows.filter(pl.col("position") > looked_at, before)
            found = rows.select(pl.col("position").max()).collect().item()
        last = max(last, found or 0)
        self._changed[tuple(names)] = position, last
        return last

    def feedback(self, after: int, upto: int) -> list[Entry]:
        """Return label and retraction entries, `after` < position <= `upto`, in order."""
        with self.reading():
            labels = _between(self._labels, after, upto).collect()
            retractions = _between(self._retractions, after, upto).collect()
        found = [*columns.labels_events(labels), *columns.retractions_events(retractions)]
        return sorted(found, key=lambda entry: entry.position)

    def listed(self, after: int, upto: int) -> list[Entry]:
        """Return entries that change a list, `after` < position <= `upto`, in order."""
        with self.reading():
            listings = _between(self._listings, after, upto).sort("position").collect()
        return list(columns.listings_events(listings))

    def small_files(self) -> dict[str, int]:
        """Return how many files each table has that compacting would merge."""
        return {name: table.small_files() for name, table in self._tables.items()}

    def compact(self, retention: timedelta = RETENTION, tables: Collection[str] | None = None) -> None:
        """Merge small files of the named tables (None: all), and `vacuum`.

        A lazy scan older than `retention` may lose its files; nothing else notices.

        Raises:
            Unavailable: the archive cannot be written, or others kept coming first.
        """
        # A merged file is named by nobody until it is committed: who deletes what is unnamed has to wait.
        with self.reading():
            for name, table in self._tables.items():
                if tables is None or name in tables:
                    table.compact()
        self.vacuum(retention)

    def held(self) -> Held:
        """Return a position and the files that hold everything up to it; be `reading` while they are used."""
        # The position is that of `transactions`, committed last: looked at first, the others have it too.
        transactions = self._transactions.held()
        others = [table.held() for table in self._tables.values() if table is not self._transactions]
        files = [path for held in (*others, transactions) for path in held.files]
        marks = [path for path in (self._folder / MARK,) if path.exists()]
        return Held(transactions.position, (*marks, *files))

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        return {
            name: int(table.scan().select(pl.len()).collect().item()) for name, table in self._tables.items()
        }

    def sizes(self) -> dict[str, Size]:
        """Return what each table takes up."""
        return {name: table.size() for name, table in self._tables.items()}

    def unnamed(self, retention: timedelta) -> list[Path]:
        """Return the files that no version of their table younger than `retention` names."""
        return [path for table in self._tables.values() for path in table.unnamed(retention)]

    def vacuum(self, retention: timedelta) -> list[Path]:
        """Delete what `unnamed` returns, and return it.

        Raises:
            Unavailable: the archive cannot be written.
        """
        return self._vacuum(retention, alone=False)

    def _vacuum(self, retention: timedelta, *, alone: bool) -> list[Path]:
        return [path for table in self._tables.values() for path in table.vacuum(retention, alone=alone)]

    def traces(self, entity: str, surrogate: int, upto: int, categoricals: Sequence[str]) -> Traces:
        """Return what stands of an entity at or before `upto`; `categoricals` are fields marked personal."""
        with self.reading():
            own = self._transactions.scan().filter(
                (pl.col(f"entity_{entity}") == surrogate) & (pl.col("position") <= upto)
            )
            labels = self._labels.scan().filter(pl.col("position") <= upto)
            return traces_of(own, labels, _fields(categoricals))

    def linked(self, entity: str, surrogate: int, others: Sequence[str], gone: Sequence[int]) -> list[Linked]:
        """Return the entities of the kinds `others` that stand beside one, and which stand nowhere else.

        `gone` are surrogates of `entity` erased before; standing beside them does not count.
        """
        with self.reading():
            rows = self._transactions.scan()
            found = {
                name: linked_to(rows, f"entity_{entity}", surrogate, f"entity_{name}", gone)
                for name in others
            }
        return [Linked(name, own, shared) for name, (own, shared) in found.items()]

    def erase(
        self, entity: str, surrogate: int, upto: int, categoricals: Sequence[str], traces: Traces
    ) -> None:
        """Blank an entity's fields marked personal, and the comments on its transactions.

        Everything up to `upto` must be archived, or a copy under way could bring
        it back. May be repeated. The old files stay until `drop_old_files`.

        Raises:
            Unavailable: the archive cannot be written.
        """
        fields = _fields(categoricals)
        if fields and traces.fields:
            predicate = fields_predicate(f"entity_{entity}", surrogate, upto, fields)
            self._transactions.blank(predicate, fields, "NULL")
        for predicate in comment_predicates(traces.comments):
            self._labels.blank(predicate, ["comment"], "''")

    def drop_old_files(self, wait_s: float) -> int:
        """Delete every file that no present version names, whatever its age; return how many.

        Raises:
            Unavailable: others used the files for all of `wait_s`.
        """
        with self._lease.exclusive(wait_s):
            return len(self._vacuum(timedelta(0), alone=True))


def _between(table: Table, after: int, upto: int) -> pl.LazyFrame:
    """Return the rows of a table with `after` < position <= `upto`."""
    return table.scan().filter(pl.col("position").is_between(after, upto, closed="right"))


def _fields(categoricals: Sequence[str]) -> list[str]:
    return [f"categorical_{name}" for name in categoricals]
