"""What the guard judges: small tables about one model's data, as known at a cut.

Days are counted back from the cut: age 0 is the day that ends with it, so no
day is half over. What is dated exactly at the cut is known, so age a is the day
(cut − (a + 1) d, cut − a d]. `recent` days came in since the data was last
found fit; they are judged by the older ones.

    age    H−1 …………………………… recent │ recent−1 ……… 1   0 │ cut
           the past that judges     the data that is judged
"""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import DAY_US

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ALL_SOURCES = ""
"""The feed of all sources together."""


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """Facts that follow transactions: fraud labels of a source, or payment outcomes.

    `came` and `visible` are int64[H, H]: facts by age of the event (rows) and of
    the arrival (columns); `visible` leaves out what exclusions hide.
    """

    source: str
    came: Ints
    visible: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """Transactions by age in hours, int64[24 H]: all that came, and what of them no exclusion hides.

    `covered` is bool[24 H]: hours that an exclusion of all payments touches, to be judged by nobody.
    """

    came: Ints
    visible: Ints
    covered: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class GuardData:
    """One model's data at a cut; ages in days, H of them.

    `foreseen` is float64[H]: the frauds that the scores given at the time expect among the
    payments let through, NaN on days of which too few were scored; empty when nobody asked.

    `best_source` is the one that no other overturns. Frames hold only what no exclusion hides:

    batches     batch_id source submitter age arrival_from_us arrival_to_us labels frauds
                legitimates contradicting repeated_within repeated_elsewhere; one row each
    positives   age source submitter batch_id frauds
    suspects    age entity (surrogate) frauds event_from_us event_to_us
    missing     field age rows missing
    scored      batch_id source first_batch first_submitter age fraud (bool) champion crossfit (f64 or
                null); one row a verdict of a source on a transaction, with its transaction_id; first is
                where the source said so before any other time
    certain     age batch_id rows legitimate: payments scored near 1 by when they were decided, and by
                which batch ("": they matured without a label)
    cleared     source submitter age rows hits fresh: payments that any source but the best calls legitimate,
                those that are fraud by a better one, and how many of these since the judged days began
    """

    cut_time_us: int
    recent: int
    matured: int
    entity: str
    traffic: Ints
    hours: Hours
    feeds: tuple[Feed, ...]
    outcomes: Feed | None
    batches: pl.DataFrame
    positives: pl.DataFrame
    suspects: pl.DataFrame
    missing: pl.DataFrame
    scored: pl.DataFrame
    certain: pl.DataFrame
    cleared: pl.DataFrame
    best_source: str = ""
    foreseen: Floats = field(default_factory=lambda: np.empty(0))
    champion_low: float | None = None
    crossfit_low: float | None = field(default=None)

    @property
    def days(self) -> int:
        """Number of ages H."""
        return len(self.traffic)

    @property
    def seen(self) -> int:
        """How many days back the first transaction lies."""
        filled = np.flatnonzero(self.traffic)
        return 0 if not len(filled) else int(filled[-1]) + 1

    def start_us(self, age: int) -> int:
        """Return the first moment of a day, µs UTC."""
        return self.cut_time_us - (age + 1) * DAY_US + 1

    def end_us(self, age: int) -> int:
        """Return the first moment behind a day, µs UTC; behind the last one it is not known yet."""
        return self.cut_time_us - age * DAY_US + 1
