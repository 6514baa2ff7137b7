"""What the guard looks at: the cut, the days before it, and through which rules and view."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from fraud.clock import DAY_US
from fraud.labels.exclusions import EVERYTHING, View
from fraud.labels.standing import ConflictRule
from fraud.settings.guard import Guard

SLACK_MAX_US = 7 * DAY_US
"""Beyond the maturity, a payment without a label is decided after this at the latest."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What to look at: the cut, since when data was not yet judged, and by which rules. µs UTC."""

    cut_time_us: int
    judged_until_us: int
    maturity_us: int
    rules: Guard
    conflict: ConflictRule
    view: View = EVERYTHING
    retracted: Mapping[str, int] = field(default_factory=dict)
    """When each batch that was taken back was, by its id."""

    @property
    def matured(self) -> int:
        """Days after which a payment is decided: the maturity, and as long again, at most a week."""
        return -(-(self.maturity_us + min(self.maturity_us, SLACK_MAX_US)) // DAY_US)

    @property
    def days(self) -> int:
        """Days looked at: the judged ones, and the history behind them."""
        return self.recent + -(-self.rules.history // DAY_US) + self.matured

    @property
    def recent(self) -> int:
        """Days to judge: since the data was last found fit, at least one."""
        return int(max(1, -(-(self.cut_time_us - self.judged_until_us) // DAY_US)))

    @property
    def start_us(self) -> int:
        """The moment before the first that is looked at."""
        return self.cut_time_us - self.days * DAY_US

    def age(self, column: str) -> pl.Expr:
        """Return days from a time to the cut, 0 for the last."""
        return ((self.cut_time_us - pl.col(column)) // DAY_US).cast(pl.Int64)

    def hidden(self) -> pl.Expr:
        """Tell which labels are retracted or excluded; the feed that brought them was not silent."""
        return pl.col("batch_id").is_in(list(self.retracted)) | self.excluded()

    def excluded(self) -> pl.Expr:
        """Tell which labels are excluded."""
        return pl.any_horizontal(pl.lit(value=False), *(it.label_rows() for it in self.view.labels))

    def retracted_us(self) -> pl.Expr:
        """Return when a label was taken back, null where it was not."""
        ids, times = list(self.retracted), list(self.retracted.values())
        return pl.col("batch_id").replace_strict(ids, times, default=None, return_dtype=pl.Int64)
