"""Pieces the dashboards are made of: a query, panels with one look, variables, events as annotations.

    Query(expr, legend) ─► series() number() states() listing() ─► section() ─► board() ─► JSON

Every panel says in its description what it shows and, after "When it is bad:", what to
do. Colours and thresholds mean the same everywhere: green is well, orange wants a look
today, red now. `$model` and `$window` stand in most queries; `$model` may be several.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

GREEN, ORANGE, RED, BLUE, PURPLE, GREY = "green", "orange", "red", "blue", "purple", "text"
SOURCE = kinds.DataSourceRef("prometheus", "${datasource}")
MODEL = 'model=~"$model"'
WINDOW = f'{MODEL}, window="$window"'

Panel = Builder[models.Panel]
Steps = Sequence[tuple[float, str]]
"""From which value on which colour; below the first all is green."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what its series are called; {{label}} stands for a label's value."""

    expr: str
    legend: str = ""


def _target(query: Query, at: int, *, instant: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + at)).datasource(SOURCE)
    made = made.legend_format(query.legend or "__auto")
    return made.instant() if instant else made.range()


def _thresholds(steps: Steps, first: str = GREEN) -> dashboard.ThresholdsConfig:
    found = [models.Threshold(None, first), *(models.Threshold(value, colour) for value, colour in steps)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def series(
    title: str,
    unit: str,
    text: str,
    *queries: Query,
    steps: Steps = (),
    width: int = 8,
    least: float | None = 0,
    most: float | None = None,
    stacked: bool = False,
    stepped: bool = False,
    band: bool = False,
) -> Panel:
    """Make a graph over time. With `band`, series called "… lower" and "… upper" are its interval."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .line_width(2)
        .show_points(kinds.VisibilityMode.AUTO)
        .span_nulls(True)
        .legend(_legend())
        .tooltip(
            common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
        )
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    )
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps, "transparent")).thresholds_style(style)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
        panel = panel.fill_opacity(30)
    if stepped:
        panel = panel.line_interpolation(kinds.LineInterpolation.STEP_AFTER)
    if band:
        panel = panel.override_by_regexp("/(lower|upper)$/", _BAND)
    for at, query in enumerate(queries):
        panel = panel.with_target(_target(query, at, instant=False))
    return panel


_BAND = [
    models.DynamicConfigValue("custom.lineWidth", 1),
    models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [4, 4]}),
    models.DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
]


def _legend() -> common.VizLegendOptions:
    made = common.VizLegendOptions().show_legend(True).placement(kinds.LegendPlacement.BOTTOM)
    return made.display_mode(kinds.LegendDisplayMode.LIST).calcs(["lastNotNull"])


def number(
    title: str,
    unit: str,
    text: str,
    query: Query,
    *,
    steps: Steps = (),
    first: str = GREEN,
    names: dict[str, tuple[str, str]] | None = None,
    width: int = 3,
    by_name: bool = False,
) -> Panel:
    """Make a figure as it is now, a tile a series. `names` spells values: {"1": ("up", GREEN)}.

    With `by_name` the tile shows what the series is called, for `_info` metrics.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(text)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(4)
        .no_value("none")
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .text_mode(kinds.BigValueTextMode.NAME if by_name else kinds.BigValueTextMode.AUTO)
        .thresholds(_thresholds(steps, first))
    )
    if names:
        panel = panel.mappings([_named(names)])
    return panel.with_target(_target(query, 0, instant=True))


def states(
    title: str, text: str, query: Query, names: dict[str, tuple[str, str]] | None = None, *, width: int = 12
) -> Panel:
    """Make a band a series, coloured by its value over time; `names` as for `number`."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .span(width)
        .height(7)
        .merge_values(True)
        .row_height(0.8)
        .fill_opacity(70)
        .legend(_legend())
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    )
    if names:
        panel = panel.mappings([_named(names)])
    return panel.with_target(_target(query, 0, instant=False))


def listing(title: str, text: str, query: Query, hidden: Iterable[str] = (), *, width: int = 12) -> Panel:
    """Make a table of the series as they are now, a row each; `hidden` are labels left out."""
    gone = dict.fromkeys(("Time", "__name__", "instance", "job", *hidden), True)
    target = _target(query, 0, instant=True).format(PromQueryFormat.TABLE)
    return (
        table.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .with_target(target)
        .with_transformation(models.DataTransformerConfig("organize", options={"excludeByName": gone}))
    )


def _named(names: dict[str, tuple[str, str]]) -> models.ValueMap:
    return models.ValueMap(
        {
            value: models.ValueMappingResult(text=text, color=colour, index=at)
            for at, (value, (text, colour)) in enumerate(names.items())
        }
    )
