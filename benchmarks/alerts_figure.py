"""Draws the loop's history from the same series that the dashboard shows."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.alerts_series import Daily
from benchmarks.alerts_world import Stream

_CHAMPION, _FIRST, _MARK = "#1f6feb", "#8b949e", "#2da44e"


def draw(stream: Stream, shown: Daily, path: Path) -> None:
    """Draw recall of champion and first champion, what was lost since promotion, and drift, day by day."""
    mpl.rcParams["svg.hashsalt"] = "fraud"
    figure = Figure(figsize=(11, 8), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True)
    days = np.array(shown.days)
    _quality(above, shown, days)
    _lost(middle, shown, days)
    below.plot(days, shown.one("fraud_score_drift"), color=_CHAMPION, label="scores")
    below.axhline(stream.settings.monitoring.drift.effect, color="#cf222e", linestyle="--", linewidth=1)
    below.set_ylabel("PSI beyond chance")
    below.set_xlabel("day")
    for axes in (above, middle, below):
        for reign in stream.reigns:
            axes.axvline(reign.day, color=_MARK, linewidth=1, linestyle=":")
        axes.legend(loc="lower left", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Loop history (dotted: promotions)")
    figure.savefig(path)


def _quality(axes: Any, shown: Daily, days: np.ndarray) -> None:
    for subject, colour in (("champion", _CHAMPION), ("first", _FIRST)):
        point, lower, upper = (
            shown.one("fraud_realised_recall", subject=subject, window="28d", bound=bound)
            for bound in ("point", "lower", "upper")
        )
        axes.plot(days, point, color=colour, label=subject)
        axes.fill_between(days, lower, upper, color=colour, alpha=0.15, linewidth=0)
    axes.set_ylabel("recall, 28 days")


def _lost(axes: Any, shown: Daily, days: np.ndarray) -> None:
    for window, colour in (("7d", _FIRST), ("28d", _CHAMPION)):
        point, lower = (
            shown.one("fraud_realised_decay", figure="recall", window=window, bound=bound)
            for bound in ("point", "lower")
        )
        axes.plot(days, point, color=colour, label=window)
        axes.plot(days, lower, color=colour, linewidth=1, linestyle="--")
    axes.axhline(0.05, color="#cf222e", linestyle="--", linewidth=1)
    axes.set_ylabel("recall lost since promotion")
