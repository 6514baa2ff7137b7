"""A dashboard: sections of panels, its variables, and what happened as marks on every graph.

Everything is provisioned: ids and positions follow from the order in the code, so the
same code gives the same bytes (`python -m deploy.grafana.build`, held by a test).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import BLUE, GREEN, MODEL, ORANGE, RED, SOURCE, Panel

GRID: Final = 24
_EVENTS = (
    ("promotions", f"fraud_promotion_last_timestamp_seconds{{{MODEL}}} * 1000", GREEN),
    ("rollbacks", f"fraud_rollback_last_timestamp_seconds{{{MODEL}}} * 1000", RED),
)


@dataclass(frozen=True, slots=True)
class Section:
    """A row with its panels, left to right; they wrap at 24 columns."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `window`: it lets the reader choose a window of matured quality."""

    uid: str
    title: str
    text: str
    sections: Sequence[Section]
    since: str = "now-24h"
    refresh: str = "30s"
    window: bool = False

    def to_json(self) -> str:
        """Spell the dashboard as Grafana reads it."""
        return JSONEncoder(sort_keys=True, indent=1, ensure_ascii=False).encode(self._built()) + "\n"

    def _built(self) -> models.Dashboard:
        made = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.text)
            .tags(["fraud"])
            .timezone("browser")
            .time(self.since, "now")
            .refresh(self.refresh)
            .readonly()
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(_others())
        )
        for variable in _variables(window=self.window):
            made = made.with_variable(variable)
        for name, expr, colour in _EVENTS:
            made = made.annotation(_Event(name, expr, colour))
        made = made.annotation(_Event("alerts", 'ALERTS{alertstate="firing"}', ORANGE, by_value=False))
        for section in self.sections:
            made = made.with_row(dashboard.Row(section.title))
            for panel in section.panels:
                made = made.with_panel(panel)
        built = made.build()
        for at, placed in enumerate(built.panels or (), start=1):
            placed.id_val = at
        return built


def _others() -> dashboard.DashboardLink:
    made = dashboard.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS)
    return made.tags(["fraud"]).as_dropdown(True).keep_time(True).include_vars(True)


def _variables(*, window: bool) -> list[Builder[models.VariableModel]]:
    load = models.VariableRefresh.ON_TIME_RANGE_CHANGED
    made: list[Builder[models.VariableModel]] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        dashboard.QueryVariable("model")
        .label("Model")
        .datasource(SOURCE)
        .query("label_values(fraud_decisions_total, model)")
        .refresh(load)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all")),
    ]
    if window:
        made.append(
            dashboard.QueryVariable("window")
            .label("Window of matured payments")
            .datasource(SOURCE)
            .query("label_values(fraud_realised_rows, window)")
            .refresh(load)
            .current(models.VariableOption(text="28d", value="28d"))
        )
    return made


class _Mark(models.AnnotationQuery):
    """What Grafana's Prometheus source reads beside the query of an annotation."""

    by_value = False

    def to_json(self) -> dict[str, object]:
        return {
            **super().to_json(),
            "titleFormat": "{{alertname}}" if not self.by_value else self.name,
            "textFormat": "{{model}} {{severity}}" if not self.by_value else "{{model}}",
            "tagKeys": "model",
            "step": "60s",
            "useValueForTime": self.by_value,
        }


class _Event(Builder[models.AnnotationQuery]):
    """Marks on every graph. `by_value`: the value is the moment, in ms; else while it is above 0."""

    def __init__(self, name: str, expr: str, colour: str, *, by_value: bool = True) -> None:
        self._mark = _Mark(name=name, datasource=SOURCE, icon_color=colour or BLUE, expr=expr)
        self._mark.by_value = by_value

    def build(self) -> models.AnnotationQuery:
        """Return the annotation."""
        return self._mark
