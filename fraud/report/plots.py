"""The plots of a report, each one SVG element; the first side is blue, the second brown and dashed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fraud.bundle.references import SCORE_EDGES
from fraud.monitoring.drift import RISK_BINS, Floats
from fraud.policy.trade import TradeCurve
from fraud.report.curves import CalibrationBin, Money, PrecisionRecall
from fraud.report.page import ALARM_COLOUR, FIRST_COLOUR, SECOND_COLOUR, finish, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDES: tuple[dict[str, Any], ...] = (
    {"color": FIRST_COLOUR},
    {"color": SECOND_COLOUR, "linestyle": "--"},
)
_SCORE_LABELS = ("0", *(f"{edge:g}" for edge in SCORE_EDGES), "1")


def precision_recall_plot(sides: Mapping[str, PrecisionRecall]) -> str:
    """Plot precision against recall."""

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        for (name, curve), look in zip(sides.items(), _SIDES, strict=False):
            label = f"{name}: average precision {curve.average_precision:.3f}"
            # From recall 0 on, so that the area under the drawn steps is the average precision.
            recall = np.concatenate([[0.0], curve.recall])
            precision = np.concatenate([curve.precision[:1], curve.precision])
            drawn = axis.step(recall[: len(precision)], precision, where="pre", label=label, **look)
            drawn[0].set_gid(f"precision-recall-{name}")
        axis.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall", ylabel="precision")
        finish(axis, "Precision and recall")
        _legend(axis)

    return svg("precision-recall", 5.2, 4.2, draw)


def calibration_plot(sides: Mapping[str, Sequence[CalibrationBin]]) -> str:
    """Plot the share of frauds against the score, with exact intervals, on logarithmic axes."""

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        floor = _floor(sides)
        axis.plot([floor, 1], [floor, 1], color="#57606a", linewidth=0.8, label="as promised")
        for (name, bins), look in zip(sides.items(), _SIDES, strict=False):
            observed = np.array([max(each.observed, floor) for each in bins])
            low = np.array([max(each.low, floor) for each in bins])
            high = np.array([each.high for each in bins])
            expected = np.array([max(each.expected, floor) for each in bins])
            errors = np.maximum(np.stack([observed - low, high - observed]), 0)
            style: dict[str, Any] = {"marker": "o", "markersize": 4, "capsize": 2, "linewidth": 0.8} | look
            drawn = axis.errorbar(expected, observed, yerr=errors, label=name, **style)
            drawn[0].set_gid(f"calibration-{name}")
        axis.set(xscale="log", yscale="log", xlabel="score", ylabel="share of frauds")
        finish(axis, "Calibration")
        _legend(axis)

    return svg("calibration", 5.2, 4.2, draw)


def _floor(sides: Mapping[str, Sequence[CalibrationBin]]) -> float:
    """Where the logarithmic axes begin: below every score, and shares of 0 stand on it."""
    least = min((each.expected for bins in sides.values() for each in bins), default=1e-3)
    return float(10 ** np.floor(np.log10(max(least, 1e-6))))


def money_plot(sides: Mapping[str, Money], budget: float) -> str:
    """Plot the share of fraud value and of frauds caught against alerts a day; `budget` is the gate's."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for axis, what, title in (
            (axes[0], "value", "Fraud value detected"),
            (axes[1], "recall", "Frauds detected"),
        ):
            for (name, curve), look in zip(sides.items(), _SIDES, strict=False):
                drawn = axis.plot(curve.alerts_per_day, getattr(curve, what), label=name, **look)
                drawn[0].set_gid(f"money-{what}-{name}")
            axis.axvline(budget, color=ALARM_COLOUR, linewidth=1, linestyle=":", label="budget of the gate")
            axis.set(xscale="log", ylim=(0, 1.04), xlabel="alerts a day")
            finish(axis, title)
        _legend(axes[0])

    return svg("money", 10.4, 4.0, draw)


def score_plot(scores: Mapping[str, Floats], risks: Mapping[str, Floats]) -> str:
    """Plot how scores and risk scores of the same rows are distributed; shares by bin, float64[bins]."""

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        _bars(left, scores, "scores")
        left.set_xticks(np.arange(len(_SCORE_LABELS)) - 0.5, _SCORE_LABELS, rotation=45)
        left.set(xlabel="score", ylabel="share of payments", yscale="log")
        finish(left, "Scores")
        _bars(right, risks, "risk-scores")
        width = 1000 // RISK_BINS
        ticks = np.arange(0, RISK_BINS + 1, 4)
        right.set_xticks(ticks - 0.5, [str(tick * width) for tick in ticks.tolist()])
        right.set(xlabel="risk score")
        finish(right, "Risk scores")
        _legend(left)

    return svg("scores", 10.4, 4.0, draw)


def _bars(axis: "Axes", sides: Mapping[str, Floats], name: str) -> None:
    for place, ((side, shares), look) in enumerate(zip(sides.items(), _SIDES, strict=False)):
        width = 0.8 / len(sides)
        places = np.arange(len(shares)) - 0.4 + width * (place + 0.5)
        drawn = axis.bar(places, shares, width, color=look["color"], label=side)
        for bar in drawn[:1]:
            bar.set_gid(f"{name}-{side}")


def trade_plot(curve: TradeCurve, thresholds: Mapping[str, float | None]) -> str:
    """Plot what a threshold trades: precision, recall and value against alerts a day, and the cost."""

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2, sharex=True)
        alerts = [point.alerts_per_day for point in curve.points]
        for what, words, colour in (
            ("precision", "precision", ALARM_COLOUR),
            ("recall", "recall", FIRST_COLOUR),
            ("value_detected", "value detected", SECOND_COLOUR),
        ):
            values = [getattr(point, what) for point in curve.points]
            shown = [float("nan") if value is None else value for value in values]
            drawn = left.plot(alerts, shown, color=colour, label=words)
            drawn[0].set_gid(f"trade-{what}")
        left.set(xscale="log", ylim=(0, 1.04), xlabel="alerts a day")
        finish(left, "What a threshold trades")
        right.plot(alerts, [point.cost_per_day for point in curve.points], color=FIRST_COLOUR)
        right.set(xlabel="alerts a day", ylabel="expected cost a day")
        finish(right, "Expected cost")
        for name, value in thresholds.items():
            point = None if value is None else curve.at(value)
            if point is not None:
                for axis in (left, right):
                    axis.axvline(point.alerts_per_day, color="#57606a", linewidth=1, linestyle=":")
                left.text(point.alerts_per_day, 1.0, f" {name}", color="#57606a", va="top", fontsize=9)
        _legend(left)

    return svg("trade", 10.4, 4.0, draw)


def reasons_plot(names: Sequence[str], contributions: Sequence[float]) -> str:
    """Plot the mean size of each feature's contribution, the largest on top."""

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        places = np.arange(len(names))[::-1]
        drawn = axis.barh(places, contributions, color=FIRST_COLOUR)
        if len(names):
            drawn[0].set_gid("reasons-first")
        axis.set_yticks(places, names)
        axis.set_xlabel("mean |contribution|, log-odds")
        finish(axis, "What moves the score")

    return svg("reasons", 10.4, 0.9 + 0.27 * max(len(names), 1), draw)


def _legend(axis: "Axes") -> None:
    axis.legend(loc="best", frameon=False, fontsize=9)
