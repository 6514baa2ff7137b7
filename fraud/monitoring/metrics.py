"""What the metrics of both processes share: histograms, registries, the endpoint.

`scorer_metrics` and `retrainer_metrics` each hold the metrics of one process,
in a registry of its own. What the scoring path touches is bound to its labels
beforehand, so an update is a locked addition. Names begin with `fraud_` (or are
those of the `grpc_server_*` family that dashboards know), units are base units,
and labels take their values from the configuration or from tables in the code:
never from a request. A test walks the registries and holds every name to this.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isinf
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, start_http_server
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from fraud.errors import ConfigError
from fraud.monitoring.buckets import Buckets


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


@dataclass(slots=True)
class MetricsServer:
    """A bound HTTP endpoint; `port` is the one it got, −1 when metrics are off."""

    port: int
    _server: Any = None
    _thread: Thread | None = None

    def close(self) -> None:
        """Stop serving and free the port; again is no error."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> MetricsServer:
    """Serve a registry at `/metrics`; port 0 takes any free one, −1 serves nothing.

    Raises:
        ConfigError: the port is taken or the host is not ours.
    """
    if port == -1:
        return MetricsServer(-1)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigError(
            f"monitoring: metrics cannot be served on {host}:{port} ({error.strerror}); "
            "choose another port (0: any free one, -1: none)"
        ) from None
    return MetricsServer(server.server_port, server, thread)
