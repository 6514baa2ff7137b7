"""Every threshold has one number, under one name, in base units."""

from fraud.monitoring.alarms import thresholds
from fraud.settings.monitoring import Alarms


def test_every_setting_is_a_threshold_in_base_units() -> None:
    found = thresholds(Alarms(champion_age="2d", alert_ratio=3))  # type: ignore[arg-type]
    assert found["champion_age_seconds"] == 2 * 86_400
    assert found["alert_ratio"] == 3
    assert len(found) == len(Alarms.model_fields)
