"""Draws the adaptation benchmark: recall and money lost by day, a line a row, mean over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.adaptation_report import FIRST_DAY, Seeds, Table, best_schedule, oracle_of
from benchmarks.adaptation_rows import NEVER, ONLINE, ORACLE, SERVICE
from benchmarks.adaptation_worlds import BANDIT

_SMOOTH_DAYS = 7
_COLOURS = {
    SERVICE: "#1f6feb",
    "schedule": "#bf8700",
    ONLINE: "#8250df",
    ORACLE: "#2da44e",
    NEVER: "#8b949e",
}


def draw(table: Table, delay: str, path: Path) -> None:
    """Draw every world that has a bandit at a label delay; the format is the path's ending.

    Raises:
        ValueError: there is no such world.
    """
    keys = [key for key in sorted(table) if key[1:] == (BANDIT, delay)]
    if not keys:
        raise ValueError(f"no run of {BANDIT}/{delay} to draw")
    mpl.rcParams["svg.hashsalt"] = "fraud"
    figure = Figure(figsize=(6 * len(keys), 7), layout="constrained")
    grid = np.atleast_2d(figure.subplots(2, len(keys), sharex=True, squeeze=False))
    for column, key in enumerate(keys):
        _panel(grid[:, column].tolist(), key[0], lines_of(table, key))
    grid[0, 0].set_ylabel(f"recall at .5 % FPR, {_SMOOTH_DAYS} days")
    grid[1, 0].set_ylabel("money lost, sum, thousands")
    for axes in grid[1]:
        axes.legend(loc="upper left", frameon=False)
    figure.suptitle(f"Adaptive attackers, labels after up to {delay} (mean over seeds)")
    figure.savefig(path)


def lines_of(table: Table, key: tuple[str, str, str]) -> dict[str, tuple[str, Seeds]]:
    """Return what is drawn of a world: label → colour's name and runs."""
    rows = table[key]
    lines = {name: (name, rows[name]) for name in (SERVICE, ONLINE, NEVER) if name in rows}
    best, oracle = best_schedule(rows), oracle_of(table, key)
    if best is not None:
        lines[best[0]] = ("schedule", best[1])
    if oracle is not None:
        lines[ORACLE] = (ORACLE, oracle)
    return lines


def _panel(axes: Sequence[Any], world: str, lines: Mapping[str, tuple[str, Seeds]]) -> None:
    above, below = axes
    for label, (colour, seeds) in lines.items():
        days = range(FIRST_DAY, seeds.end)
        recall = [
            np.nanmean([it.result.recall(day - _SMOOTH_DAYS + 1, day + 1) for it in seeds.by_seed.values()])
            for day in days
        ]
        lost = np.mean(
            [[day.lost_minor for day in it.result.days[FIRST_DAY:]] for it in seeds.by_seed.values()], axis=0
        )
        above.plot(days, recall, color=_COLOURS[colour], label=label)
        below.plot(days, np.cumsum(lost) / 1e5, color=_COLOURS[colour], label=label)
    above.set_title(world)
    above.set_ylim(0, 1.02)
    below.set_xlabel("day")
    for each in (above, below):
        each.spines[["top", "right"]].set_visible(False)
