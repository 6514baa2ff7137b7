"""What the metrics of both processes share: histograms and registries.

`scorer_metrics` and `retrainer_metrics` each hold the metrics of one process,
in a registry of its own, built from the table in `names`. What the scoring path
touches is bound to its labels beforehand, so an update is a locked addition.
A test walks the registries and holds every name and label to the table.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from math import isinf
from pathlib import Path
from typing import Any, Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from fraud.monitoring.alarms import thresholds
from fraud.monitoring.buckets import Buckets
from fraud.monitoring.names import Process, metrics_of
from fraud.settings.monitoring import Alarms

Labels = tuple[str, ...]
"""Values of labels, in the order of the table."""


class HistogramFamily(Collector):
    """A histogram with labels whose children are `Buckets`; registered on creation."""

    def __init__(
        self,
        name: str,
        text: str,
        bounds: Sequence[float],
        labels: Sequence[str],
        registry: CollectorRegistry,
    ) -> None:
        self.name = name
        self._text = text
        self._bounds = bounds
        self._labels = tuple(labels)
        self._children: dict[tuple[str, ...], Buckets] = {}
        registry.register(self)

    def labels(self, *values: str) -> Buckets:
        """Return the child of these label values; bind it once where it is hot."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self.name}: {values} for the labels {self._labels}")
            child = self._children.setdefault(values, Buckets(self._bounds))
        return child

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Yield the family without samples, so that registering it counts nothing."""
        yield HistogramMetricFamily(self.name, self._text, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family as it stands."""
        family = HistogramMetricFamily(self.name, self._text, labels=self._labels)
        for values, child in list(self._children.items()):
            buckets, total = child.read()
            named = [("+Inf" if isinf(bound) else str(bound), float(count)) for bound, count in buckets]
            family.add_metric(values, named, sum_value=total)
        yield family


def new_registry() -> CollectorRegistry:
    """Return a registry that shows the process and nothing else yet."""
    # Without it every counter has one more series, which nobody reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class Silent:
    """Stands for a counter, a gauge, a histogram and its children where nothing is counted."""

    __slots__ = ()

    def labels(self, *values: str) -> Self:
        """Return itself: all children are alike."""
        del values
        return self

    def inc(self, amount: float = 1) -> None:
        """Do nothing."""

    set = observe = observe_many = inc

    def remove(self, *values: str) -> None:
        """Do nothing."""

    def set_function(self, function: Any) -> None:
        """Do nothing."""


class Catalogue:
    """The metrics of one process by name, each as the table in `names` says.

    `bounds` are the upper bounds of each histogram. Where `counting` is off,
    nothing is registered and an update does nothing.
    """

    def __init__(
        self, process: Process, bounds: Mapping[str, Sequence[float]], *, counting: bool = True
    ) -> None:
        self.registry = registry = new_registry()
        self.counting = counting
        self._metrics: dict[str, Any] = {}
        self._shown: dict[tuple[str, str], set[Labels]] = {}
        self._totals: dict[tuple[str, Labels], int] = {}
        for row in metrics_of(process):
            if not counting:
                self._metrics[row.name] = Silent()
            elif row.kind == "histogram":
                self._metrics[row.name] = HistogramFamily(
                    row.name, row.text, bounds[row.name], row.labels, registry
                )
            else:
                made = Counter if row.kind == "counter" else Gauge
                self._metrics[row.name] = made(row.name, row.text, row.labels, registry=registry)
        self.gauge("fraud_build_info").labels(version("fraud")).set(1)

    def counter(self, name: str) -> Counter:
        """Return a counter, named without `_total`; KeyError when the table has none."""
        found: Counter = self._metrics[name]
        return found

    def gauge(self, name: str) -> Gauge:
        """Return a gauge; KeyError when the table has none."""
        found: Gauge = self._metrics[name]
        return found

    def histogram(self, name: str) -> HistogramFamily:
        """Return a histogram; KeyError when the table has none."""
        found: HistogramFamily = self._metrics[name]
        return found

    def show(self, name: str, model: str, figures: Mapping[Labels, float]) -> None:
        """Set a gauge's series of one model, by the values of the other labels; series not given end.

        `model` is the value of the gauge's first label, whatever that is.
        """
        gauge = self.gauge(name)
        for labels in self._shown.get((name, model), set()) - figures.keys():
            gauge.remove(model, *labels)
        for labels, figure in figures.items():
            gauge.labels(model, *labels).set(figure)
        self._shown[name, model] = set(figures)

    def raise_to(self, name: str, labels: Labels, total: int) -> None:
        """Raise a counter to a total that somebody else keeps; it never falls."""
        former = self._totals.get((name, labels), 0)
        if total >= former:
            self.counter(name).labels(*labels).inc(total - former)
            self._totals[name, labels] = total

    def show_thresholds(self, alarms: Alarms) -> None:
        """Show from when on each figure is alarming."""
        for alarm, threshold in thresholds(alarms).items():
            self.gauge("fraud_alarm_threshold").labels(alarm).set(threshold)

    def watch_disk(self, folder: Path) -> None:
        """Show size and free space of a folder's file system, asked for at each scrape."""
        self.gauge("fraud_disk_free_bytes").set_function(lambda: float(shutil.disk_usage(folder).free))
        self.gauge("fraud_disk_size_bytes").set_function(lambda: float(shutil.disk_usage(folder).total))
