"""Configuration: `fraud.toml` and the environment, checked once, then frozen."""

from fraud.settings.durations import format_duration, parse_duration_us
from fraud.settings.load import Settings, load_settings, settings_from

__all__ = ["Settings", "format_duration", "load_settings", "parse_duration_us", "settings_from"]
