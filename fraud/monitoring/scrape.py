"""Reads a metrics endpoint, or the alerts of a Prometheus, for people without a dashboard.

GET /metrics ─▶ samples by name and labels      GET /api/v1/alerts ─▶ what fires there
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from fraud.errors import InvalidInput, Unavailable

TIMEOUT_S = 5.0
BYTES_MAX = 2**24


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample as scraped."""

    name: str
    labels: Mapping[str, str]
    value: float


class Samples:
    """What was scraped, by name."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_name: dict[str, list[Sample]] = {}
        for sample in samples:
            self._by_name.setdefault(sample.name, []).append(sample)

    @classmethod
    def of_text(cls, text: str) -> "Samples":
        """Read the text exposition format."""
        return cls(
            Sample(sample.name, sample.labels, float(sample.value))
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )

    def find(self, name: str, **labels: str) -> Iterator[Sample]:
        """Yield the samples of a name whose labels include the given ones; NaN is no sample."""
        for sample in self._by_name.get(name, ()):
            if labels.items() <= sample.labels.items() and not math.isnan(sample.value):
                yield sample

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the first such sample, None for none."""
        return next((sample.value for sample in self.find(name, **labels)), None)

    def merged(self, other: "Samples") -> "Samples":
        """Return the samples of both."""
        return Samples(it for each in (self, other) for found in each._by_name.values() for it in found)


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that a Prometheus knows: pending or firing."""

    name: str
    severity: str
    state: str
    text: str


def scrape(url: str) -> Samples | None:
    """Return what an endpoint shows, None where nothing answers."""
    try:
        with urlopen(url, timeout=TIMEOUT_S) as reply:
            return Samples.of_text(reply.read(BYTES_MAX).decode())
    except (URLError, OSError, ValueError):
        return None


def firing(prometheus: str) -> list[Firing]:
    """Return the pending and firing alerts of a Prometheus at a base URL such as http://localhost:9090.

    Raises:
        InvalidInput: no http(s) URL.
        Unavailable: nothing answers there, or no Prometheus.
    """
    if not prometheus.startswith(("http://", "https://")):
        raise InvalidInput("--prometheus", f"{prometheus!r} is no URL", "write it like http://127.0.0.1:9090")
    try:
        with urlopen(f"{prometheus.rstrip('/')}/api/v1/alerts", timeout=TIMEOUT_S) as reply:
            alerts = json.loads(reply.read(BYTES_MAX))["data"]["alerts"]
    except (URLError, OSError, ValueError, KeyError) as error:
        raise Unavailable(f"{prometheus}: no Prometheus answers there ({error}); check the address") from None
    return [
        Firing(
            alert["labels"].get("alertname", ""),
            alert["labels"].get("severity", ""),
            alert["state"],
            alert.get("annotations", {}).get("summary", ""),
        )
        for alert in alerts
    ]
