"""Which logged rows have the features that the service has now, and reading them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.eventlog.log import EventLog
from fraud.features.spec import FeatureSpec
from fraud.records import FEATURE_BYTES, Scored, as_long
from fraud.serving.champions import Champion


@dataclass(frozen=True, slots=True)
class LoggedFeatures:
    """How many features the service has, and the first position whose row was logged with these."""

    count: int
    since: int

    @classmethod
    def of(cls, spec: FeatureSpec, log: EventLog) -> Self:
        """Return it for the features of `spec` and what the log notes of its rows."""
        return cls(len(spec.names), spec.held_since(log.headings()))

    def fits(self, row: Scored) -> bool:
        """Tell whether a row was logged with as many features as the service has."""
        return len(row.features) == FEATURE_BYTES * self.count

    def readable(self, rows: Sequence[Scored], champions: Sequence[Champion]) -> list[Scored]:
        """Return the rows that `fits`, with "" for words that `champions` read and were no fields yet."""
        words = 1 + max((place for champion in champions for place in champion.categoricals), default=-1)
        return [
            row
            if len(row.categoricals) >= words
            else replace(row, categoricals=as_long(row.categoricals, words, ""))
            for row in rows
            if self.fits(row)
        ]

    def matrix(self, rows: Sequence[Scored]) -> NDArray[np.float32]:
        """Return the features of rows that all fit, as float32[n, count]."""
        return features_of(rows, self.count)


def features_of(rows: Sequence[Scored], count: int) -> NDArray[np.float32]:
    """Return the logged features of rows as float32[n, count]; each has that many."""
    joined = b"".join(row.features for row in rows)
    return np.frombuffer(joined, dtype="<f4").reshape(len(rows), count)
