"""Triggers and probing: what is refused, by its name and with a remedy, and what is off when left out."""

from pathlib import Path
from typing import Any

import pytest

from fraud.errors import ConfigError
from fraud.settings import Settings, settings_from


def settings(monitoring: dict[str, Any] | None = None, **triggers: Any) -> Settings:
    tables = {
        "schema": {"entities": {"card": {}, "merchant": {}}},
        "models": {"card": {}},
        "training": {"triggers": triggers},
        "monitoring": {"probing": monitoring or {}},
    }
    return settings_from(tables, {}, Path("fraud.toml"))


@pytest.mark.parametrize(
    ("monitoring", "triggers", "told"),
    [
        ({}, {"misses": {}, "per_day_max": 1}, "raise it to 2 or more, or set emergencies_max = 0"),
        ({}, {"misses": {"jump": 2.0}}, "raise it, or lower that"),
        ({}, {"misses": {"jump": 4.0}, "submitter_share_max": 0.75}, "by submitter_share_max"),
        ({}, {"misses": {"weeks": 2}}, "training.triggers.misses.weeks"),
        ({}, {"sources": ["rumour"]}, "training.triggers.sources: unknown rumour; allowed: chargeback"),
        ({}, {"sources": []}, "training.triggers.sources"),
        ({"enabled": False}, {"probing": True}, "switch that on, or leave the trigger out"),
        ({"ladder": {"entities": ["shop"]}}, {}, "monitoring.probing.ladder.entities: unknown shop"),
        ({"small": {"within": "25h"}}, {}, "give 24h or less"),
        ({"trial": {"entities": ["shop"]}}, {}, "monitoring.probing.trial.entities: unknown shop"),
        ({"trial": {"large_min_minor": 300}}, {}, "is not above small_max_minor, 300; raise it"),
        ({"baseline": "20d"}, {}, "give 21d to 182d"),
        ({"baseline": "183d"}, {}, "give 21d to 182d"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(
    monitoring: dict[str, Any], triggers: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(monitoring, **triggers)
    assert told in str(refused.value)


def test_borders_are_allowed() -> None:
    settings(
        {"small": {"within": "24h"}, "baseline": "21d", "trial": {"large_min_minor": 301}},
        misses={"jump": 2.01},
        per_day_max=2,
    )
    settings({"baseline": "182d"}, misses={}, per_day_max=1, emergencies_max=0)


def test_emergencies_are_off_when_left_out_and_trust_the_first_source() -> None:
    assert not settings().training.triggers.emergencies
    assert settings(misses={}).training.triggers.emergencies
    assert not settings(misses={}, emergencies_max=0).training.triggers.emergencies
    assert settings().trigger_sources == ("chargeback",)
    assert settings(sources=["analyst", "customer"]).trigger_sources == ("analyst", "customer")
