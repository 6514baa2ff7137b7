"""The short form of a version's policy curve: what its thresholds trade, and what others would."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fraud.cli.shell import table

if TYPE_CHECKING:
    from fraud.policy.trade import Point

SHOWN = 10
_COLUMNS = ["threshold", "alerts a day", "precision", "recall", "value detected", "cost a day", ""]


def curve_table(manifest: Mapping[str, Any]) -> Table | None:
    """Return a table of about ten points and the solved thresholds; None when there is no curve."""
    from fraud.policy.trade import TradeCurve

    curve = TradeCurve.from_dict(manifest.get("policy_curve", {}))
    if not curve.points:
        return None
    solved: dict[float, str] = {}
    for name, value in curve.thresholds.to_dict().items():
        if value is not None:
            solved[value] = f"{solved[value]}, {name}" if value in solved else name
    points = {*curve.short(SHOWN), *(point for value in solved if (point := curve.at(value)))}
    rows = [_row(point, solved.get(point.threshold, "")) for point in sorted(points, key=_by_threshold)]
    basis = ", ".join(f"{name} {value:g}" for name, value in curve.basis.items())
    return table(f"Policy: what a threshold trades (cost: {basis})", _COLUMNS, rows)


def _by_threshold(point: "Point") -> float:
    return -point.threshold


def _row(point: "Point", name: str) -> list[str | None]:
    shares = (point.precision, point.recall, point.value_detected)
    return [
        f"{point.threshold:.4f}",
        f"{point.alerts_per_day:,.1f}",
        *(None if share is None else f"{share:.1%}" for share in shares),
        f"{point.cost_per_day:,.0f}",
        name,
    ]
