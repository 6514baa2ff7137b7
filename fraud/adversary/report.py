"""The report of a demo: one HTML file that needs nothing beside it.

    DemoResult → plots (matplotlib, SVG inline) → page (jinja2 template report.html)

Both libraries come with the extra `report` and are imported when a report is made.
"""

import io
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraud.adversary.figures import DemoResult
from fraud.adversary.narrator import phases
from fraud.errors import NotAllowedNow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERVICE_COLOUR = "#1f6feb"
NEVER_COLOUR = "#9a6700"
CHANGE_COLOUR = "#a11d33"
GRID_COLOUR = "#d9dee4"


def require_report_extra() -> None:
    """Confirm that a report can be made, before anything long is started.

    Raises:
        NotAllowedNow: a library of the extra `report` is missing.
    """
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise NotAllowedNow(
            f"the report needs {error.name}, which is not installed; run pip install 'fraud[report]'"
        ) from None
    del jinja2


def write_report(result: DemoResult, path: Path) -> None:
    """Write the report of one demo to `path`.

    Raises:
        NotAllowedNow: the extra `report` is not installed.
    """
    require_report_extra()
    path.write_text(render(result), encoding="utf-8")


def render(result: DemoResult) -> str:
    """Return the page; the same result gives the same page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["share"] = _share
    environment.filters["figure"] = _figure
    source = files("fraud.adversary").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        result=result,
        plot=plot(result),
        phases=[(name, *result.recalls(first, end)) for name, first, end in phases(result)],
        service_colour=SERVICE_COLOUR,
        never_colour=NEVER_COLOUR,
        change_colour=CHANGE_COLOUR,
    )


def plot(result: DemoResult) -> str:
    """Return recall and average precision by day as one SVG element."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Fixed ids and no date, so that the same figures give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "fraud", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(10.0, 6.4), layout="constrained")
        axes = figure.subplots(2, 1, sharex=True)
        panels = [("recall", "Recall within the alert budget"), ("average_precision", "Average precision")]
        for axis, (name, title) in zip(axes, panels, strict=True):
            _panel(axis, result, name, title)
        axes[0].legend(loc="lower left", frameon=False)
        axes[1].set_xlabel("simulated day")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


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
    axis.set_title(title, loc="left", pad=18)
    axis.grid(color=GRID_COLOUR, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _share(value: float) -> str:
    return "–" if value != value else f"{value:.0%}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"
