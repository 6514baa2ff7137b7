"""Publishes who probes: patterns of testing among the payments of the last day, against quiet weeks.

    every `monitoring.traffic_every`, when the log has grown
      the last 24 hours, and days before them not counted yet ─▶ `fraud.monitoring.probing`

A day is counted once; imported payments were decided elsewhere and do not count. Memory holds
the rows of one day and one kind of entity, at most `probing.rows_max` of them.
"""

import math
import time
from collections.abc import Sequence

import polars as pl

from fraud.clock import DAY_US
from fraud.monitoring.metrics import Labels
from fraud.monitoring.probing import COLUMNS, Key, Probe, Seen, count, judge, kinds_of
from fraud.monitoring.quality import ENTITY_PREFIX
from fraud.records import Outcome
from fraud.retrainer.cycle import Workshop
from fraud.training.history import History

_Day = dict[Key, Seen]


class ProbingWatch:
    """Looks for probing now and then. One owner."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._rules = shop.settings.monitoring.probing
        self._kinds = kinds_of(self._rules, shop.settings.schema_.entity_names)
        self._looked_at = float("-inf")
        self._position = -1
        self._view = ""
        self._first: dict[str, int] = {}
        self._days: dict[tuple[str, int], _Day] = {}
        self.found: dict[str, tuple[tuple[Probe, ...], int]] = {}
        """What was found last by model, and when, µs UTC by the clock of the service."""

    def turn(self) -> None:
        """Publish, when it is time; the caller holds the archive's files in place."""
        shop = self._shop
        every_s = shop.settings.monitoring.traffic_every / 1e6
        cut = shop.cut()
        waits = time.monotonic() - self._looked_at < every_s or cut.position == self._position
        if not self._rules.enabled or waits:
            return
        self._looked_at = started = time.monotonic()
        self._position = cut.position
        history = shop.history(cut, shop.state().view())
        if history.view.to_text() != self._view:
            self._view = history.view.to_text()
            self._days, self._first = {}, {}
        shop.each_model(lambda model: self._judge(history, model))
        shop.metrics.took("probing", time.monotonic() - started)

    def _judge(self, history: History, model: str) -> None:
        self.found[model] = (self._look(history, model), history.cut.time_us)
        self._publish(model, self.found[model][0])

    def _look(self, history: History, model: str) -> tuple[Probe, ...]:
        now_us = history.cut.time_us
        # The last whole day that ends before the judged one begins.
        newest = now_us // DAY_US - 2
        days = range(newest, newest - self._rules.baseline // DAY_US, -1)
        first = self._first_day(history, model)
        past = [self._day(history, model, day) for day in days if day >= first]
        self._days = {key: it for key, it in self._days.items() if key[0] != model or key[1] in days}
        return judge(self._count(history, model, now_us - DAY_US, now_us), past, self._rules)

    def _first_day(self, history: History, model: str) -> int:
        """Return the first whole day with payments that were scored here; it is read once."""
        if model in self._first:
            return self._first[model]
        own = history.transactions(model, with_features=False).filter(~pl.col("imported"))
        first_us = own.select(pl.col("event_time_us").min()).collect().item()
        if first_us is None:
            return history.cut.time_us // DAY_US
        self._first[model] = -(-int(first_us) // DAY_US)
        return self._first[model]

    def _day(self, history: History, model: str, day: int) -> _Day:
        """Return the counts of a whole day of UTC, counted once."""
        key = (model, day)
        if key not in self._days:
            self._days[key] = self._count(history, model, day * DAY_US - 1, (day + 1) * DAY_US - 1)
        return self._days[key]

    def _count(self, history: History, model: str, after_us: int, upto_us: int) -> _Day:
        """Count patterns by kind in the payments with `after_us` < event time <= `upto_us`."""
        inside = pl.col("event_time_us").is_between(after_us, upto_us, closed="right")
        rows = history.transactions(model, with_features=False).filter(inside & ~pl.col("imported"))
        size = rows.select(pl.len()).collect().item()
        step = max(1, -(-size // self._rules.rows_max))
        stopped = (pl.col("outcome") != int(Outcome.APPROVE)) | pl.col("explored")
        found: _Day = {}
        for kind, patterns in self._kinds.items():
            entity = f"{ENTITY_PREFIX}{kind}"
            kept = pl.col(entity).hash(self._shop.settings.training.seed) % step == 0
            part = rows.filter(kept).select(entity, *COLUMNS[:-1], stopped=stopped).collect()
            found |= {(it, kind): seen for it, seen in count(part, entity, patterns, self._rules).items()}
        return found

    def _publish(self, model: str, probes: Sequence[Probe]) -> None:
        show = self._shop.metrics.catalogue.show
        keyed: dict[Labels, Probe] = {(it.pattern, it.kind): it for it in probes}
        show("fraud_probing_entities", model, {key: it.entities for key, it in keyed.items()})
        expected = {key: it.expected for key, it in keyed.items() if not math.isnan(it.expected)}
        show("fraud_probing_expected_entities", model, expected)
        show("fraud_probing_findings", model, {key: float(it.alarming) for key, it in keyed.items()})
