"""The page of a red team: `fraud redteam`.

frauds of the last weeks that the version never saw ─ attacked ─▶ evasion over cost, profit, tries
  ─▶ what a retrain could catch

A version stops what it was fitted on more surely than what is new to it. Where too few unseen frauds are
left to show anything all are attacked, and page and command say so.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.campaign import Progress, Result, Scene
from fraud.attacks.curve import Point, Summary, summarize
from fraud.attacks.target import Target
from fraud.bundle.bundle import Bundle
from fraud.clock import format_time
from fraud.errors import NotAllowedNow
from fraud.report.folder import Folder
from fraud.report.page import ALARM_COLOUR, FIRST_COLOUR, SECOND_COLOUR, finish, render, svg
from fraud.retrainer.casework import Rival
from fraud.retrainer.matrices import unseen_of
from fraud.settings import Settings
from fraud.settings.attacks import GATE_FRAUDS_MIN
from fraud.settings.durations import format_duration
from fraud.training.dataset import training_rows
from fraud.training.history import History
from fraud.training.recoverable import recoverable
from fraud.training.redteam import attack_in, scenes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOVES_SHOWN = 12
RESERVATION = (
    "these figures include frauds that the version learned from, since too few are known that it never saw; "
    "new ones get through more easily"
)
"""Stands beside all figures where it is so."""


@dataclass(frozen=True, eq=False)
class RedTeam:
    """What attacks on one version found. `recoverable` bool[n] stands beside the results.

    `learned` says that the version may have learned from some of the attacked frauds.
    """

    rival: Rival
    cut_us: int
    settings: Settings
    results: tuple[Result, ...]
    recoverable: NDArray[np.bool_]
    learned: bool

    @property
    def costs(self) -> tuple[float, ...]:
        """Points of the curves: `attacks.costs`, and before them 0, since a control may cost nothing."""
        return (0.0, *self.settings.attacks.costs)

    @property
    def summary(self) -> Summary:
        """The figures of all attacks."""
        return summarize(self.results, self.costs)

    def part(self, *, recoverable: bool) -> tuple[Point, ...]:
        """Return the curve of the better of both searches, of what a retrain could, or could not, catch.

        Shares are of all frauds that were stopped, so both parts add up to the whole.
        """
        other = self.recoverable != recoverable
        kept = [
            result.without() if gone else result
            for result, gone in zip(self.results, other.tolist(), strict=True)
        ]
        return summarize(kept, self.costs).best

    @property
    def moves(self) -> list[tuple[str, int, float]]:
        """What was changed, most frequent first: fields, evasions, their mean cost."""
        found = [result.best for result in self.results if result.stopped and result.best is not None]
        counts = Counter(" + ".join(sorted(set(each.changed))) or "nothing" for each in found)
        costs: dict[str, list[float]] = {}
        for each in found:
            costs.setdefault(" + ".join(sorted(set(each.changed))) or "nothing", []).append(each.cost)
        return [(name, n, float(np.mean(costs[name]))) for name, n in counts.most_common(MOVES_SHOWN)]


def read_redteam(
    folder: Folder, model: str, version: str, settings: Settings, progress: Progress | None = None
) -> RedTeam:
    """Attack a version with frauds that are known now: those it never saw, where they are enough.

    Enough are `GATE_FRAUDS_MIN`, or as many as are asked for. `settings` are those of the folder,
    `[attacks]` as asked for.

    Raises:
        NotFound: it was never registered, or its bundle is gone.
        ConfigError: it reads features that are gone or mean something else now.
        NotAllowedNow: no fraud is recent enough.
    """
    rival = folder.rival(version)
    seen = folder.history_now()
    history = History(seen.source, seen.spec, settings, seen.cut, seen.view, seen.without)
    attacks = settings.attacks
    with folder.archive.reading():
        total, met, learned = _scenes(history, model, rival.bundle)
        told: Callable[[int], None] | None = None if progress is None else lambda done: progress(done, total)
        (results,) = attack_in(met, history, [rival.bundle], progress=told)
        if not results:
            raise NotAllowedNow(
                f"{model!r}: no fraud of the last {format_duration(attacks.recent)} is known; wait for "
                "labels, or look further back (attacks.recent)"
            )
        target = Target(rival.bundle, history.spec, settings)
        rows = training_rows(history, model)
    # A payment without a label is honest once it has matured.
    since_us = history.cut.time_us - attacks.recent - settings.labels.maturity
    caught = recoverable(results, target, rows, since_us, attacks.seed)
    return RedTeam(rival, history.cut.time_us, settings, tuple(results), caught, learned)


def _scenes(history: History, model: str, bundle: Bundle) -> tuple[int, Iterator[Scene], bool]:
    """Return how many scenes there are, the scenes, and whether the bundle learned from some of them."""
    most = history.settings.attacks.frauds
    new, met = scenes_of(history, model, frauds=most, unseen=[unseen_of(bundle).by_served])
    if new >= min(most, GATE_FRAUDS_MIN):
        return new, met, False
    known, met = scenes_of(history, model, frauds=most)
    return known, met, known > new


def render_redteam(made: RedTeam) -> str:
    """Return the page; the same attacks give the same page."""
    summary = made.summary
    parts = {
        "a retrain could catch": made.part(recoverable=True),
        "no retrain can": made.part(recoverable=False),
    }
    return render(
        "fraud.report/redteam.html",
        made=made,
        version=made.rival.state.version,
        cut=format_time(made.cut_us),
        summary=summary,
        reservation=RESERVATION if made.learned else "",
        points=list(zip(summary.white, summary.black, summary.best, *parts.values(), strict=True)),
        curve=evasion_plot({"knows the trees": summary.white, "sees accept or decline": summary.black}),
        apart=evasion_plot(parts, "recoverable"),
        tries=tries_plot(made.results),
        profits=profit_plot(made.results),
    )


def evasion_plot(curves: dict[str, tuple[Point, ...]], name: str = "evasion") -> str:
    """Plot the share of stopped frauds that get through against what that costs, with intervals."""

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        for (side, points), colour in zip(curves.items(), (FIRST_COLOUR, SECOND_COLOUR), strict=False):
            costs = [each.cost for each in points]
            shares = [each.share for each in points]
            drawn = axis.plot(costs, shares, color=colour, marker="o", markersize=4, label=side)
            drawn[0].set_gid(f"{name}-{side}".replace(" ", "-"))
            axis.fill_between(
                costs,
                [each.low for each in points],
                [each.high for each in points],
                color=colour,
                alpha=0.12,
                linewidth=0,
            )
        axis.set(ylim=(0, 1.04), xlabel="cost, share of the stolen value", ylabel="share that gets through")
        finish(axis, "Evasion" if name == "evasion" else "Could a retrain catch it?")
        axis.legend(frameon=False)

    return svg(name, 5.2, 4.0, draw)


def tries_plot(results: Sequence[Result]) -> str:
    """Plot how many tries it took until a payment was accepted; the last bar is those that never were."""
    firsts = [each.black.first for each in results if each.stopped and each.black is not None]
    found = np.array([first for first in firsts if first is not None], np.int64)

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        most = int(found.max()) if len(found) else 1
        counts = np.bincount(found, minlength=most + 1)[1:]
        bars = axis.bar(np.arange(1, most + 1), counts, color=SECOND_COLOUR)
        bars[0].set_gid("tries-1")
        axis.bar([most + 2], [len(firsts) - len(found)], color=ALARM_COLOUR)
        axis.set_xticks([1, most, most + 2], ["1", str(most) if most > 1 else "", "never"])
        axis.set(xlabel="tries until the first acceptance", ylabel="stolen cards")
        finish(axis, "Accept or decline alone")

    return svg("tries", 5.2, 3.4, draw)


def profit_plot(results: Sequence[Result]) -> str:
    """Plot the profit of each stolen card as a share of its value, by both attackers."""
    white = [_profit(each.white_cost) for each in results]
    black = [_profit(each.black.cost) for each in results if each.black is not None]

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        edges = np.linspace(0, 1, 11).tolist()
        drawn: Any = axis.hist(
            [white, black],
            bins=edges,
            color=[FIRST_COLOUR, SECOND_COLOUR],
            label=["knows the trees", "sees accept or decline"],
        )
        drawn[2][0][0].set_gid("profit")
        axis.set(xlabel="profit, share of the card's value", ylabel="stolen cards")
        finish(axis, "Profit per stolen card")
        axis.legend(frameon=False)

    return svg("profit", 5.2, 3.4, draw)


def _profit(cost: float) -> float:
    return max(0.0, 1 - cost) if math.isfinite(cost) else 0.0
