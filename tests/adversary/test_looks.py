"""When the retrainer has looked at an evening: by its turns, as many as its watches may rest."""

from dataclasses import replace

import pytest

from benchmarks.adaptation_worlds import config_of
from fraud.adversary.looks import NAMES, TURNS, Shown, has_looked
from fraud.clock import DAY_US
from fraud.monitoring.scrape import Samples
from fraud.retrainer.realised import RESTS
from fraud.settings import Settings, load_settings

EVENING_US = 20_000 * DAY_US
BEFORE = Shown(copies=100, position=7, judged_us=EVENING_US - DAY_US, took_s=0.5)
REST_TURNS = int(RESTS * 0.5 / 0.1)
TRIGGERS, MONITORING = "FRAUD__TRAINING__TRIGGERS__", "FRAUD__MONITORING__"


def _settings(**given: str) -> Settings:
    return load_settings(config_of("own"), given)


def _turns(settings: Settings, since: Shown, judged_us: int) -> int:
    """Return after how many copies more all has been looked at."""
    return next(
        turns
        for turns in range(200)
        if has_looked(
            settings, since, replace(since, copies=since.copies + turns, judged_us=judged_us), EVENING_US
        )
    )


def test_value_that_was_judged_since_is_not_waited_for() -> None:
    assert _turns(_settings(), BEFORE, EVENING_US) == TURNS + 1
    assert _turns(_settings(), BEFORE, EVENING_US - 1) == TURNS + REST_TURNS


def test_value_that_may_have_been_judged_too_soon_rests_before_it_is_judged_again() -> None:
    """The look began while labels came in, or a cycle or an exclusion has changed what is judged since."""
    since = replace(BEFORE, judged_us=EVENING_US)
    assert _turns(_settings(), since, EVENING_US) == TURNS + REST_TURNS


@pytest.mark.parametrize(
    ("given", "turns"),
    [
        ({f"{MONITORING}QUALITY_EVERY": "1s"}, TURNS + 10),
        ({f"{TRIGGERS}PROBING": "true", f"{MONITORING}TRAFFIC_EVERY": "500ms"}, TURNS + 5),
        ({"FRAUD__TRAINING__ARCHIVE_EVERY": "20ms"}, TURNS + 5),
        ({f"{TRIGGERS}EMERGENCIES_MAX": "0", f"{MONITORING}QUALITY_EVERY": "1h"}, TURNS),
    ],
)
def test_what_else_may_start_an_emergency_has_rested_too(given: dict[str, str], turns: int) -> None:
    assert _turns(_settings(**given), BEFORE, EVENING_US) == turns


def test_what_is_scraped_is_read_of_the_model_and_is_nothing_before_there_is_any() -> None:
    text = f"""
fraud_archive_copy_seconds_count 12.0
fraud_archive_position 345.0
fraud_quality_computed_timestamp_seconds{{model="card"}} {EVENING_US / 1e6!r}
fraud_quality_computed_timestamp_seconds{{model="other"}} 1.0
fraud_monitoring_seconds{{part="reaction"}} 9.0
fraud_monitoring_seconds{{part="quality"}} 0.25
"""
    assert Shown.of(Samples.of_text(text), "card") == Shown(12, 345, EVENING_US, 0.25)
    assert all(name in text for name in NAMES)
    assert Shown.of(Samples.of_text(""), "card") == Shown(0, 0, 0, 0.0)
