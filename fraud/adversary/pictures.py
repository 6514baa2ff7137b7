"""The demo's pictures, each one SVG element: quality and money, what the gang tries, what the loop did.

All share an axis of days, so that what stands above each other happened at the same time. Blue is the
service, brown and dashed its first champion; dotted lines are promotions.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from fraud.adversary.contest_figures import ContestResult
from fraud.adversary.figures import DemoResult
from fraud.adversary.honest import Floats
from fraud.adversary.strategy import known_strategies
from fraud.adversary.telling import spelled
from fraud.report.page import ALARM_COLOUR, FIRST_COLOUR, SECOND_COLOUR, finish, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SMOOTH_DAYS = 5
_MIX_DAYS = 3
_GREY = "#8c959f"
_PURPLE = "#8250df"
_GREEN = "#1a7f37"
_WIDTH = 11.0
_SIDES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("never", "first champion, never retrained", {"color": SECOND_COLOUR, "linestyle": "--"}),
    ("service", "the service", {"color": FIRST_COLOUR}),
)
_FAMILY_COLOURS = ("#0550ae", "#54aeff", "#1b7c83", "#4ac26b", "#d4a72c", "#fb8f44", "#cf222e", "#a475f9")
_LANES = ("champion", "retrains", "verdicts", "guard", "probing", "operator", "the other side")


def quality_picture(result: DemoResult) -> str:
    """Draw recall and money lost by day, both sides."""

    def draw(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        first = result.plan.first_day + 1
        ends: dict[str, tuple[float, str]] = {}
        for side, label, look in _SIDES:
            contest: ContestResult = getattr(result, side)
            days = range(first, len(contest.days))
            daily = [contest.recall(day, day + 1) for day in days]
            smooth = [contest.recall(max(first, day - _SMOOTH_DAYS + 1), day + 1) for day in days]
            above.plot(days, daily, ".", color=look["color"], alpha=0.35, markersize=5)
            above.plot(days, smooth, label=label, linewidth=2, gid=f"recall-{side}", **look)
            money = np.cumsum([day.lost_minor for day in contest.days[first:]]) / 100
            below.plot(days, money, linewidth=2, gid=f"lost-{side}", **look)
            ends[side] = (money[-1], look["color"]) if len(money) else (0.0, look["color"])
        for place, (money_end, colour) in enumerate(sorted(ends.values())):
            place_of = {"xytext": (6, 0), "textcoords": "offset points", "va": ("top", "bottom")[place]}
            below.annotate(f"€ {money_end:,.0f}", (len(result.days) - 1, money_end), color=colour, **place_of)
        above.set_ylim(-0.03, 1.03)
        above.legend(loc="lower left", frameon=False)
        below.set_ylim(bottom=0)
        below.set_xlabel("simulated day")
        below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        finish(above, f"Recall at .5 % false positives (line: {_SMOOTH_DAYS} days, dots: each)", pad=20)
        finish(below, "Money the gang got, € since there was a model")
        for axis in (above, below):
            _acts(axis, result, named=axis is above)
            _promotions(axis, result)
            axis.set_xlim(first - 1, len(result.days) + 3)

    return svg("quality", _WIDTH, 6.6, draw)


def mix_picture(result: DemoResult) -> str:
    """Draw what the gang tries by day, as shares of the money it attempts, against each side."""

    def draw(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        names = [strategy.name for strategy in known_strategies()]
        panels = (
            (above, result.service, "Against the service"),
            (below, result.never, "Against its first champion"),
        )
        for axis, contest, title in panels:
            shares = mix_by_day(contest, names)
            labels = [spelled(name) for name in names]
            look: dict[str, Any] = {"colors": _FAMILY_COLOURS, "linewidth": 0, "alpha": 0.85}
            axis.stackplot(range(len(contest.days)), shares, labels=labels, **look)
            axis.set_ylim(0, 1)
            axis.set_xlim(0, len(result.days) - 1)
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            finish(axis, title, pad=18 if axis is above else 6)
        _promotions(above, result, colour="#1b1f24")
        below.axvline(result.plan.first_day + 0.5, color="#1b1f24", linewidth=1.2, linestyle=":")
        below.set_xlabel("simulated day")
        handles, labels = above.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)

    return svg("mix", _WIDTH, 6.4, draw)


def mix_by_day(contest: ContestResult, names: Sequence[str]) -> Floats:
    """Return shares of attempted money by strategy and day, over three days each, float64[k, days]."""
    shares = np.zeros((len(names), len(contest.days)))
    for day in range(len(contest.days)):
        sums: Counter[str] = Counter()
        for each in contest.days[max(0, day - _MIX_DAYS + 1) : day + 1]:
            sums.update(each.attempted)
        total = sum(sums[name] for name in names)
        if total:
            shares[:, day] = [sums[name] / total for name in names]
    return shares


def timeline_picture(result: DemoResult) -> str:
    """Draw what the loop did: who was champion, retrains, verdicts, alarms, freezes, repairs."""

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        lanes = {name: len(_LANES) - 1 - place for place, name in enumerate(_LANES)}
        _reigns(axis, result, lanes["champion"])
        marks: dict[str, tuple[str, str, str, float]] = {
            "retrain": ("retrains", "o", FIRST_COLOUR, 0.0),
            "emergency": ("retrains", "D", ALARM_COLOUR, 0.0),
            "promotion": ("champion", "^", _GREEN, -0.36),
            "rollback": ("champion", "v", ALARM_COLOUR, -0.36),
            "freeze": ("guard", "s", ALARM_COLOUR, 0.0),
            "note": ("guard", ".", _GREY, 0.0),
            "probing": ("probing", "x", _PURPLE, 0.0),
            "operator": ("operator", "*", FIRST_COLOUR, 0.0),
            "attack": ("the other side", "X", _PURPLE, 0.0),
        }
        for kind, (lane, marker, colour, shift) in marks.items():
            days = [it.day + 0.5 for it in result.happenings if it.kind == kind]
            size = 11 if marker == "*" else 6.5
            axis.plot(
                days, [lanes[lane] + shift] * len(days), marker, color=colour, markersize=size, gid=kind
            )
        _verdicts(axis, result, lanes["verdicts"])
        for frozen, group in groupby(result.days, key=lambda day: day.frozen):
            held = list(group)
            if frozen:
                span = (held[0].day + 0.5, len(held))
                axis.broken_barh([span], (lanes["guard"] - 0.25, 0.5), color=ALARM_COLOUR, alpha=0.25)
        axis.set_yticks(range(len(_LANES)), _LANES[::-1])
        axis.set_ylim(-0.6, len(_LANES) - 0.4)
        axis.set_xlim(result.plan.first_day - 0.5, len(result.days) + 0.5)
        axis.set_xlabel("simulated day")
        finish(axis, "The loop, evening by evening")

    return svg("timeline", _WIDTH, 3.9, draw)


def _reigns(axis: "Axes", result: DemoResult, lane: int) -> None:
    colours = (FIRST_COLOUR, "#54aeff")
    start = 0
    for place, (champion, group) in enumerate(groupby(result.days, key=lambda day: day.champion)):
        length = len(list(group))
        if champion:
            span = (start + 0.5, length)
            axis.broken_barh([span], (lane - 0.22, 0.44), color=colours[place % 2], alpha=0.55)
            axis.text(
                start + 0.5 + length / 2,
                lane,
                champion.rpartition("-")[2],
                ha="center",
                va="center",
                fontsize=9,
                clip_on=True,
            )
        start += length


def _verdicts(axis: "Axes", result: DemoResult, lane: int) -> None:
    looks = {"PROMOTE": (_GREEN, 0.22), "INCONCLUSIVE": (SECOND_COLOUR, 0.0), "REJECT": (ALARM_COLOUR, -0.22)}
    for answer, (colour, shift) in looks.items():
        told = [it for it in result.happenings if it.kind == "verdict" and it.text.startswith(answer)]
        axis.plot(
            [it.day + 0.5 for it in told], [lane + shift] * len(told), "|", color=colour, markersize=9, mew=2
        )


def _promotions(axis: "Axes", result: DemoResult, colour: str = FIRST_COLOUR) -> None:
    for happening in result.happenings:
        if happening.kind == "promotion":
            axis.axvline(happening.day + 0.5, color=colour, linewidth=1, linestyle=":", alpha=0.8)


def _acts(axis: "Axes", result: DemoResult, *, named: bool) -> None:
    """Shade the days on which the bought analyst counts, and mark the bad file."""
    plan = result.plan
    axis.axvspan(plan.bought_day, plan.audit_day + 0.5, color=_PURPLE, alpha=0.08, linewidth=0)
    axis.axvline(plan.file_day + 0.5, color=ALARM_COLOUR, linewidth=1.2)
    if named:
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 9}
        axis.text((plan.bought_day + plan.audit_day) / 2, 1.05, "analyst bought", color=_PURPLE, **look)
        axis.text(plan.file_day + 0.5, 1.05, "bad file", color=ALARM_COLOUR, **look)
