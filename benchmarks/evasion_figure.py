"""Draws the evasion benchmark: what gets through over its cost, before and after, and the price beside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.evasion_arena import ALL, COST, COSTS, RECOVERABLE

_BEFORE, _AFTER, _BETWEEN = "#cf222e", "#1f6feb", "#d0d7de"
_NAMES = {RECOVERABLE: "recoverable", ALL: "all that get through"}


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw a row of panels for each means; the format is the path's ending."""
    means = list(dict.fromkeys(row["means"] for row in rows))
    mpl.rcParams["svg.hashsalt"] = "fraud"
    figure = Figure(figsize=(12, 3.6 * len(means)), layout="constrained")
    grid = figure.subplots(len(means), 3, squeeze=False)
    for line, name in zip(grid, means, strict=True):
        own = [row for row in rows if row["means"] == name]
        for axis, part in zip(line, (RECOVERABLE, ALL), strict=False):
            _curves(axis, own, part)
            axis.set_title(f"{name}: {_NAMES[part]}")
        _prices(line[2], own)
    grid[0, 0].legend(loc="upper left", frameon=False)
    figure.suptitle("Evasion before and after rounds of hardening, Handbook")
    figure.savefig(path)


def curve_of(row: Mapping[str, Any], part: str) -> list[float]:
    """Return the shares of a row at `COSTS`."""
    return [row[f"{part} {cost:.2f}"] for cost in COSTS]


def _curves(axis: Any, rows: Sequence[Mapping[str, Any]], part: str) -> None:
    for row in rows[1:-1]:
        axis.plot(COSTS, curve_of(row, part), color=_BETWEEN, linewidth=1)
    for row, colour in ((rows[0], _BEFORE), (rows[-1], _AFTER)):
        label = f"after round {row['round']}" if row["round"] else "before"
        axis.plot(COSTS, curve_of(row, part), color=colour, marker="o", markersize=4, label=label)
    axis.axvline(COST, color=_BETWEEN, linestyle=":")
    axis.set(ylim=(0, 1.02), xlabel="cost, share of the value", ylabel="share of stopped frauds")
    axis.spines[["top", "right"]].set_visible(False)


def _prices(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    rounds = [row["round"] for row in rows]
    axis.plot(rounds, [row["clean AP"] for row in rows], color=_AFTER, marker="o", markersize=4)
    axis.axhline(rows[0]["clean AP"] * 0.97, color=_BEFORE, linestyle=":", label="3 % less")
    axis.set(ylim=(0, 1.02), xlabel="round", title="average precision without attacks")
    axis.set_xticks(rounds)
    axis.legend(loc="lower left", frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
