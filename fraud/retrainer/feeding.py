"""Publishes how label feeds flow: delays by source, what came against what was promised, when last."""

import time
from collections import defaultdict
from dataclasses import dataclass

import polars as pl

from fraud.clock import DAY_US, HOUR_US
from fraud.guard.data import ALL_SOURCES
from fraud.guard.delays import label_delays
from fraud.guard.flow import flows
from fraud.monitoring.metrics import Labels
from fraud.monitoring.names import OTHER
from fraud.monitoring.quality_series import window_name
from fraud.retrainer import realised
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.guarding import flow_of
from fraud.settings.learning import MeasuredMaturity
from fraud.training.history import Cut, History

ALL = "all"
_MEDIAN = "0.5"
UNCHANGED_US = 6 * HOUR_US
"""For how long figures stand though nothing came in. Silence itself shows by time alone, so not for ever."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was looked at: how much of the log, through which view, and when, µs UTC."""

    position: int
    view: str
    time_us: int

    def tells(self, other: "_Seen") -> bool:
        """Return True when a look at `other` would show much the same."""
        same = (self.position, self.view) == (other.position, other.view)
        return same and other.time_us - self.time_us < UNCHANGED_US


class FeedWatch:
    """Looks at the feeds at the start, and after `quality_every` and a rest as quality has. One owner.

    Where nothing came in and nothing else counts, a look waits for time to change the figures.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._looked_at = float("-inf")
        self._took_s = 0.0
        self._seen: _Seen | None = None

    def turn(self) -> None:
        """Publish, when it is time; the caller holds the archive's files in place."""
        shop = self._shop
        every_s = max(shop.settings.monitoring.quality_every / 1e6, realised.RESTS * self._took_s)
        if time.monotonic() - self._looked_at < every_s:
            return
        cut = shop.cut()
        view = shop.state().view()
        seen = _Seen(cut.position, view.to_text(), cut.time_us)
        if self._seen is not None and self._seen.tells(seen):
            return
        self._looked_at = started = time.monotonic()
        history = shop.history(cut, view)
        self._publish_last(cut)
        shop.each_model(lambda model: self._publish(history, model))
        self._seen = seen
        self._looked_at = time.monotonic()
        self._took_s = self._looked_at - started
        shop.metrics.took("feeds", self._took_s)

    def _publish(self, history: History, model: str) -> None:
        shop = self._shop
        data = flow_of(history, model)
        ratios: dict[Labels, float] = {}
        expected: dict[Labels, float] = {}
        for flow in flows(data, shop.settings.guard):
            key = (self._named(flow.source), window_name(flow.days))
            ratios[key], expected[key] = flow.ratio, flow.expected
        catalogue = shop.metrics.catalogue
        catalogue.show("fraud_feed_observed_ratio", model, ratios)
        catalogue.show("fraud_feed_expected_labels", model, expected)
        measured = shop.settings.labels.measured or MeasuredMaturity()
        delays: dict[Labels, float] = {}
        for delay in label_delays(data, measured.quantile):
            source = self._named(delay.source)
            delays[source, _MEDIAN] = delay.median_days * DAY_US / 1e6
            delays[source, f"{measured.quantile:g}"] = delay.quantile_days * DAY_US / 1e6
        catalogue.show("fraud_feed_delay_seconds", model, delays)

    def _publish_last(self, cut: Cut) -> None:
        labels = self._shop.archive.labels(cut.position).group_by("source")
        last: dict[str, int] = defaultdict(int)
        for source, time_us in labels.agg(pl.col("arrival_time_us").max()).collect().iter_rows():
            last[self._named(source)] = max(last[self._named(source)], time_us)
        gauge = self._shop.metrics.catalogue.gauge("fraud_feed_last_label_timestamp_seconds")
        for source, time_us in last.items():
            gauge.labels(source).set(time_us / 1e6)

    def _named(self, source: str) -> str:
        if source == ALL_SOURCES:
            return ALL
        return source if source in self._shop.settings.labels.sources else OTHER
