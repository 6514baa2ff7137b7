"""From when on a figure is alarming: one number for alert rules (as series) and for `fraud status`."""

from fraud.settings.monitoring import Alarms

_DURATIONS = {"access_left", "champion_age", "retrain_age", "latency"}


def thresholds(alarms: Alarms) -> dict[str, float]:
    """Return every threshold by the label `alarm` of its series; durations in seconds.

    >>> thresholds(Alarms())["latency_seconds"]
    0.1
    """
    given = {name: getattr(alarms, name) for name in type(alarms).model_fields}
    return {
        f"{name}_seconds" if name in _DURATIONS else name: value / 1e6 if name in _DURATIONS else float(value)
        for name, value in given.items()
    }
