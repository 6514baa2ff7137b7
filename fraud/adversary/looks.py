"""When the retrainer has looked at all that had come in by some moment, as it shows itself.

    all of it is in the archive ─▶ so many copies of the log later ─▶ every watch has looked, or need not

Each copy begins a turn in which a watch looks if there is something new and its rest is over. Rests are by
the wall: `monitoring.quality_every` before misses are counted again, `traffic_every` before probing is
looked for, `RESTS` times as long as it took before value is judged again. Turns are never closer than
`training.archive_every`, so a rest is over after so many of them. For value there need be none: judged
after all was there and at the evening's time, it has nothing to be judged again for.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

from fraud.clock import SECOND_US
from fraud.errors import ConfigError
from fraud.monitoring.scrape import Samples
from fraud.retrainer.realised import RESTS
from fraud.settings import Settings
from fraud.settings.durations import format_duration

REST_SECONDS: Final = 1.0
"""The longest that what asks for an emergency may rest, by the wall: days pass in seconds."""
TURNS: Final = 3
"""The second copy since belongs to a turn that began after all was there; by the third that turn is over."""
_COPIES, _POSITION = "fraud_archive_copy_seconds_count", "fraud_archive_position"
_JUDGED, _TOOK = "fraud_quality_computed_timestamp_seconds", "fraud_monitoring_seconds"
NAMES: Final = (_COPIES, _POSITION, _JUDGED, _TOOK)
"""What is scraped for it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the retrainer shows: how often it has copied the log and up to where, and its last look at value.

    That was at `judged_us`, µs UTC by the clock of the service, and took `took_s`; 0 before any.
    """

    copies: int
    position: int
    judged_us: int
    took_s: float

    @classmethod
    def of(cls, samples: Samples, model: str) -> Self:
        """Read what was scraped under `NAMES`."""
        return cls(
            int(samples.value(_COPIES) or 0),
            int(samples.value(_POSITION) or 0),
            round((samples.value(_JUDGED, model=model) or 0) * SECOND_US),
            samples.value(_TOOK, part="quality") or 0.0,
        )


def has_looked(settings: Settings, since: Shown, now: Shown, evening_us: int) -> bool:
    """Tell whether all has been looked at that was in the archive at `since`, and all that came of it.

    `evening_us` is the time of the service since the last of it, µs UTC.
    """
    rests_us = [0.0, *_rests_us(settings).values()]
    is_judged = since.judged_us < evening_us <= now.judged_us
    if "value_detection" in _wanted(settings) and not is_judged:
        rests_us.append(RESTS * now.took_s * SECOND_US)
    return now.copies - since.copies >= TURNS + math.ceil(max(rests_us) / settings.training.archive_every)


def require_short_rests(settings: Settings) -> None:
    """Confirm that what is to start an emergency looks often enough for days that pass in seconds.

    Raises:
        ConfigError: it rests for too long.
    """
    for name, rest_us in _rests_us(settings).items():
        if rest_us > REST_SECONDS * SECOND_US:
            raise ConfigError(
                f"monitoring.{name}: is {format_duration(rest_us)} by the wall, and days of a contest pass "
                f"in seconds, so no emergency would ever start; give {REST_SECONDS:g}s or less"
            )


def _wanted(settings: Settings) -> tuple[str, ...]:
    """Return the triggers that may start an emergency."""
    triggers = settings.training.triggers
    return triggers.emergencies_wanted if triggers.emergencies else ()


def _rests_us(settings: Settings) -> dict[str, int]:
    """Return how long what they need rests, µs, by name in `[monitoring]`."""
    wanted, monitoring = _wanted(settings), settings.monitoring
    found = {"quality_every": monitoring.quality_every} if {"misses", "value_detection"} & {*wanted} else {}
    return found | ({"traffic_every": monitoring.traffic_every} if "probing" in wanted else {})
