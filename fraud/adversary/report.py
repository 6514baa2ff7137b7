"""The report of a demo: one HTML file that needs nothing beside it.

DemoResult → plots (SVG inline) → page (template report.html); see `fraud.report.page`
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraud.adversary.figures import DemoResult
from fraud.adversary.narrator import phases
from fraud.report.page import ALARM_COLOUR as CHANGE_COLOUR
from fraud.report.page import FIRST_COLOUR as SERVICE_COLOUR
from fraud.report.page import SECOND_COLOUR as NEVER_COLOUR
from fraud.report.page import finish, require_report_extra, svg
from fraud.report.page import render as render_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_report(result: DemoResult, path: Path) -> None:
    """Write the report of one demo to `path`.

    Raises:
        NotAllowedNow: the extra `report` is not installed.
    """
    require_report_extra()
    path.write_text(render(result), encoding="utf-8")


def render(result: DemoResult) -> str:
    """Return the page; the same result gives the same page."""
    return render_page(
        "fraud.adversary/report.html",
        result=result,
        plot=plot(result),
        phases=[(name, *result.recalls(first, end)) for name, first, end in phases(result)],
    )


def plot(result: DemoResult) -> str:
    """Return recall and average precision by day as one SVG element."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(2, 1, sharex=True)
        panels = [("recall", "Recall within the alert budget"), ("average_precision", "Average precision")]
        for axis, (name, title) in zip(axes, panels, strict=True):
            _panel(axis, result, name, title)
        axes[0].legend(loc="lower left", frameon=False)
        axes[1].set_xlabel("simulated day")

    return svg("days", 10.0, 6.4, draw)


def _panel(axis: "Axes", result: DemoResult, name: str, title: str) -> None:
    sides: list[tuple[str, str, str, dict[str, Any]]] = [
        ("never_retrained", "never retrained", NEVER_COLOUR, {"linestyle": "--", "marker": "s"}),
        ("service", "the service", SERVICE_COLOUR, {"marker": "o"}),
    ]
    for side, label, colour, style in sides:
        days = [day for day in result.days if getattr(day, side) is not None]
        values = [getattr(getattr(day, side), name) for day in days]
        axis.plot([day.day for day in days], values, color=colour, label=label, markersize=4, **style)
    axis.axvline(result.change_day - 0.5, color=CHANGE_COLOUR, linewidth=1.2)
    axis.text(result.change_day - 0.3, 1.0, "strategy changes", color=CHANGE_COLOUR, va="top")
    for cycle in result.cycles:
        if cycle.promoted:
            axis.axvline(cycle.day + 0.5, color=SERVICE_COLOUR, linewidth=1, linestyle=":")
            axis.text(cycle.day + 0.5, 1.06, cycle.promoted, color=SERVICE_COLOUR, ha="center", va="bottom")
    axis.set_ylim(-0.05, 1.05)
    axis.set_xlim(-0.5, len(result.days) - 0.5)
    finish(axis, title, pad=18)
