"""Rows as columns, by the names they were logged with, and read by what the names mean now.

    log    1 … A … 100 │ 101 … B …       a heading holds from its position to the next
    copy   rows of A ─► a frame with A's columns ─┐
           rows of B ─► a frame with B's columns ─┴─► one frame; null where there was no such field yet
           A, B ─► table `headings`
    read   a feature that A defined otherwise is null in the rows of A

So whoever copies, under whatever configuration, brings the same rows, and each reader
sees its own features. Rows from before headings were noted may not fit the first one:
they are of the copier's configuration, or of one that has to be found.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import polars as pl

from fraud.archive.columns import HEADINGS, TransactionColumns
from fraud.errors import ConfigError
from fraud.records import FEATURE_BYTES, Entry, Heading, Headings, Scored, spans_of

_OWN = 0
"""Place of the configuration's own columns, before those of the headings."""


class Headed:
    """Makes frames of logged rows: `headings` are those of the log, `own` the configuration's columns."""

    def __init__(self, own: TransactionColumns, headings: Headings) -> None:
        self._since = [since for since, _ in headings]
        self._columns = [own, *(TransactionColumns.under(heading, own.entities) for _, heading in headings)]

    def frame(self, entries: Sequence[Entry]) -> pl.DataFrame:
        """Return the rows of the Scored entries among `entries`, by position.

        Raises:
            ConfigError: an entry has not as many features as its heading, nor as the configuration.
        """
        alike: dict[int, list[Entry]] = {}
        for entry in entries:
            if isinstance(entry.event, Scored):
                alike.setdefault(self._place(entry.position, entry.event), []).append(entry)
        if not alike:
            return self._columns[_OWN].frame([])
        frames = [self._columns[place].frame(rows) for place, rows in alike.items()]
        return pl.concat(frames, how="diagonal").sort("position")

    def _place(self, position: int, event: Scored) -> int:
        noted = bisect_right(self._since, position)
        for place in (noted, _OWN):
            if len(event.features) in (0, self._columns[place].feature_bytes):
                return place
        raise ConfigError(
            f"position {position} was logged with {len(event.features) // FEATURE_BYTES} features, the "
            f"configuration has {len(self._columns[_OWN].features)}, and the log does not say which they "
            "were; stop the retrainer, archive it under the configuration it was logged with "
            "('fraud retrain' with the old fraud.toml), then go on with this one"
        )


def headings_frame(headings: Headings, upto: int) -> pl.DataFrame:
    """Return the rows of `headings` for those that hold from a position at or before `upto`."""
    rows = [
        {
            "position": since,
            "numerics": list(heading.numerics),
            "categoricals": list(heading.categoricals),
            "features": [{"name": name, "definition": definition} for name, definition in heading.features],
        }
        for since, heading in headings
        if since <= upto
    ]
    return pl.DataFrame(rows, schema=HEADINGS)


def headings_in(frame: pl.DataFrame) -> Headings:
    """Return what `headings_frame` was made of."""
    return [
        (
            row["position"],
            Heading(
                tuple(row["numerics"]),
                tuple(row["categoricals"]),
                tuple((it["name"], it["definition"]) for it in row["features"]),
            ),
        )
        for row in frame.sort("position").iter_rows(named=True)
    ]


class Meanings:
    """What archived columns of features meant in which rows."""

    def __init__(self, headings: Headings, features: Mapping[str, str]) -> None:
        """`features` are names with the definitions that count."""
        self._others: dict[str, list[tuple[int, int]]] = {}
        for since, end, heading in spans_of(headings):
            for name, definition in heading.features:
                if features.get(name, definition) != definition:
                    self._others.setdefault(name, []).append((since, end))

    def present(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return rows of `transactions` with null for features that meant something else in them."""
        columns = []
        for name, spans in self._others.items():
            elsewhere = pl.any_horizontal(pl.col("position").is_between(*span) for span in spans)
            columns.append(pl.when(~elsewhere).then(pl.col(f"f_{name}")).alias(f"f_{name}"))
        return rows.with_columns(columns) if columns else rows
