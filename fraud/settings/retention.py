"""`[retention]`: how long what could be rebuilt or rolled back to is kept."""

from pydantic import Field

from fraud.clock import DAY_US, HOUR_US
from fraud.settings.durations import DurationUs, PositiveDurationUs
from fraud.settings.section import Section


class Retention(Section):
    """What `fraud archive vacuum` must leave alone, and what `fraud erase` does not reach."""

    rollback_within: PositiveDurationUs = Field(
        default=180 * DAY_US, description="bundles that served since then are kept to go back to"
    )
    bundles: DurationUs = Field(
        default=90 * DAY_US, description="how long the bundle of a rejected or superseded version is kept"
    )
    files: DurationUs = Field(
        default=7 * DAY_US,
        ge=HOUR_US,
        description="how long a file of the archive is kept that no version of its table names",
    )
    backups: tuple[str, ...] = Field(
        default=(), description="copies of the data folder that fraud erase names but does not touch"
    )
