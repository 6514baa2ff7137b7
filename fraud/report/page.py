"""What every page has in common: templates, the house style, and plots as inline SVG.

    figures → plots (matplotlib, `svg`) → page (jinja2 template, `render`) → one HTML file, nothing beside it

Both libraries come with the extra `report` and are imported when a page is made.
"""

import io
import re
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from fraud.errors import NotAllowedNow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIRST_COLOUR: Final = "#1f6feb"
SECOND_COLOUR: Final = "#9a6700"
ALARM_COLOUR: Final = "#a11d33"
GRID_COLOUR: Final = "#d9dee4"
_NAMESPACES = re.compile(r' xmlns(:xlink)?="[^"]*"')


def require_report_extra() -> None:
    """Confirm that a page can be made, before anything long is started.

    Raises:
        NotAllowedNow: a library of the extra `report` is missing.
    """
    try:
        import jinja2
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise NotAllowedNow(
            f"the report needs {error.name}, which is not installed; "
            "run pip install --editable '.[report]' in the checkout"
        ) from None
    del jinja2


def render(template: str, **given: Any) -> str:
    """Return a page; the same figures give the same page.

    `template` is package and file, like `fraud.report/version.html`.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(share=share, figure=figure, count=count)
    colours = {"first_colour": FIRST_COLOUR, "second_colour": SECOND_COLOUR, "alarm_colour": ALARM_COLOUR}
    environment.globals.update(colours)
    return environment.get_template(template).render(**given)


def _source(template: str) -> str:
    package, _, name = template.partition("/")
    return files(package).joinpath(name).read_text(encoding="utf-8")


def svg(name: str, width: float, height: float, draw: "Callable[[Figure], None]") -> str:
    """Return a plot as one SVG element for a page, marked `data-plot="name"`; sizes in inches.

    Ids are fixed and there is no date: the same figures give the same bytes. What an
    element inside HTML does not need, namespaces and metadata, is left out.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": f"fraud {name}", "svg.fonttype": "none", "font.size": 10}):
        made = Figure(figsize=(width, height), layout="constrained")
        draw(made)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        made.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    head, _, body = text[text.index("<svg") :].partition(">")
    head = _NAMESPACES.sub("", head).replace("<svg", f'<svg data-plot="{name}" role="img"', 1)
    return f"{head}>{body.replace('xlink:href', 'href')}"


def finish(axis: "Axes", title: str, pad: float | None = None) -> None:
    """Give a panel its title, `pad` points above it, and the look of all panels."""
    axis.set_title(title, loc="left", pad=pad)
    axis.grid(color=GRID_COLOUR, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def share(value: float | None) -> str:
    """Spell a share as a whole percentage.

    >>> [share(value) for value in (0.256, float("nan"), None)]
    ['26%', '–', '–']
    """
    return "–" if value is None or value != value else f"{value:.0%}"


def figure(value: float | None) -> str:
    """Spell a figure with four digits, "" for none.

    >>> [figure(value) for value in (0.123456, 12345.6, None, float("nan"))]
    ['0.1235', '1.235e+04', '', '–']
    """
    if value is None:
        return ""
    return "–" if value != value else f"{value:,.4g}"


def count(value: int) -> str:
    """Spell a count.

    >>> count(12345)
    '12,345'
    """
    return f"{value:,}"
