"""Rows as columns, by the names they were logged with.

    log    1 … A … 100 │ 101 … B …       a heading holds from its position to the next
    rows of A ─► a frame with A's columns ─┐
    rows of B ─► a frame with B's columns ─┴─► one frame; null where a row had no such field or feature

So whoever copies, under whatever configuration, brings the same rows. Those from before
headings were noted may not fit the first one: they are of the copier's configuration,
or of one that has to be found.
"""

from bisect import bisect_right
from collections.abc import Sequence

import polars as pl

from fraud.archive.columns import TransactionColumns
from fraud.errors import ConfigError
from fraud.records import Entry, Headings, Scored

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
            f"position {position} was logged with {len(event.features) // 4} features, the configuration has "
            f"{len(self._columns[_OWN].features)}, and the log does not say which they were; stop the "
            "retrainer, archive it under the configuration it was logged with ('fraud retrain' with the old "
            "fraud.toml), then go on with this one"
        )
