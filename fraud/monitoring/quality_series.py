"""Realised quality as series: figures by subject, window and bound; weeks with what was restated."""

from collections.abc import Mapping, Sequence

from fraud.clock import DAY_US
from fraud.evaluation.days import day_start_us
from fraud.evaluation.resampling import Interval
from fraud.monitoring.metrics import Catalogue, Labels
from fraud.monitoring.names import BOUNDS, CHAMPION, DECISIONS
from fraud.monitoring.quality import ANSWERED, FIGURES, Cohort, Figures, QualityRules, decay
from fraud.settings.durations import format_duration

_BEHIND = {
    "fraud_realised_rows": "rows",
    "fraud_realised_labels": "labels",
    "fraud_realised_frauds": "frauds",
    "fraud_realised_effective_frauds": "effective_frauds",
    "fraud_realised_unseen_rows": "unseen",
}


FRAUDS_MIN = 10
"""Of a window, before decay and gain are shown."""


def window_name(days: int) -> str:
    """Return a window as the label `window` spells it.

    >>> window_name(28)
    '28d'
    """
    return format_duration(days * DAY_US)


def bounds(figures: Mapping[Labels, Interval]) -> dict[Labels, float]:
    """Spread intervals into series, by the label `bound`."""
    return {
        (*key, bound): end
        for key, it in figures.items()
        for bound, end in zip(BOUNDS, (it.value, it.low, it.high), strict=True)
    }


def tells_of_change(found: Figures | None) -> bool:
    """Tell whether frauds are enough to say that something has changed.

    Of a few that all were caught, or none, the bootstrap has an interval without width.
    """
    return found is not None and found.frauds >= FRAUDS_MIN


def show_windows(
    catalogue: Catalogue,
    model: str,
    found: Mapping[tuple[str, int], Figures],
    gained: Mapping[tuple[int, str], Interval],
    rule_rows: Mapping[int, int],
) -> None:
    """Show figures by (subject, days), gains by (days, figure), and rows that rules decided by days."""
    named: dict[Labels, Figures] = {(subject, window_name(days)): it for (subject, days), it in found.items()}
    for figure in FIGURES:
        shown = {key: it.intervals[figure] for key, it in named.items()}
        catalogue.show(f"fraud_realised_{figure}", model, bounds(shown))
    own = {(window_name(days),): it for (subject, days), it in found.items() if subject == DECISIONS}
    for figure in ANSWERED:
        answered: dict[Labels, Interval] = {key: it.intervals[figure] for key, it in own.items()}
        catalogue.show(f"fraud_{figure}", model, bounds(answered))
    for name, field in _BEHIND.items():
        catalogue.show(name, model, {key: getattr(it, field) for key, it in named.items()})
    won: dict[Labels, Interval] = {
        (window_name(days), figure): gain
        for (days, figure), gain in gained.items()
        if tells_of_change(found.get((CHAMPION, days)))
    }
    catalogue.show("fraud_realised_gain", model, bounds(won))
    rows: dict[Labels, float] = {(window_name(days),): count for days, count in rule_rows.items()}
    catalogue.show("fraud_realised_rule_rows", model, rows)


def show_decay(
    catalogue: Catalogue,
    model: str,
    found: Mapping[tuple[str, int], Figures],
    promised: Mapping[str, Interval],
) -> None:
    """Show what the gate saw of the champion, and what has been lost since."""
    then: dict[Labels, Interval] = {(name,): figure for name, figure in promised.items()}
    catalogue.show("fraud_promised_quality", model, bounds(then))
    lost: dict[Labels, Interval] = {
        (window_name(days), name): decay(promise, it.intervals[name])
        for (subject, days), it in found.items()
        for name, promise in promised.items()
        if subject == CHAMPION and tells_of_change(it)
    }
    catalogue.show("fraud_realised_decay", model, bounds(lost))


def show_cohorts(
    catalogue: Catalogue, model: str, now: Sequence[Cohort], then: Sequence[Cohort], rules: QualityRules
) -> None:
    """Show weeks, the newest first, as known `now`, and the change since each had matured (`then`)."""
    pairs: dict[Labels, tuple[Cohort, Cohort]] = {
        (str(i + 1),): pair for i, pair in enumerate(zip(now, then, strict=True))
    }
    for figure in ("recall", "average_precision"):
        shown = {key: getattr(it, figure) for key, (it, _) in pairs.items()}
        catalogue.show(f"fraud_cohort_{figure}", model, bounds(shown))
        changed = {key: shown[key].value - getattr(was, figure).value for key, (_, was) in pairs.items()}
        catalogue.show(f"fraud_cohort_restated_{figure}", model, changed)
    catalogue.show("fraud_cohort_frauds", model, {key: it.frauds for key, (it, _) in pairs.items()})
    more = {key: it.frauds - was.frauds for key, (it, was) in pairs.items()}
    catalogue.show("fraud_cohort_restated_frauds", model, more)
    starts = {key: day_start_us(it.week, rules.zone) / 1e6 for key, (it, _) in pairs.items()}
    catalogue.show("fraud_cohort_start_timestamp_seconds", model, starts)
