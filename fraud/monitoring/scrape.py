"""Reads a metrics endpoint as Prometheus does, or the alerts of a Prometheus, for people without a dashboard.

GET /metrics ─▶ samples by name and labels      GET /api/v1/alerts ─▶ what fires there
"""

import http.client
import json
import math
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from fraud.errors import InvalidInput, Unavailable
from fraud.settings.access import ClientSection
from fraud.settings.monitoring import Monitoring

TIMEOUT_S = 5.0
_EVERYWHERE: Final = ("0.0.0.0", "::", "[::]")
BYTES_MAX = 2**24
HEARTBEAT: Final = "heartbeat"
"""The severity of an alert that always fires: only its silence says something."""


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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the metrics of a process are, and what is shown to read them."""

    host: str
    port: int
    token_file: Path | None = None
    tls: bool = False
    client: ClientSection = field(default_factory=ClientSection)

    @classmethod
    def of(
        cls, monitoring: Monitoring, client: ClientSection, port: int, host: str | None = None
    ) -> "Endpoint":
        """Return the endpoint of a process on `host`; None: on this machine, whatever it listens on."""
        if host is None:
            host = "127.0.0.1" if monitoring.host in _EVERYWHERE else monitoring.host.strip("[]")
        return cls(host, port, monitoring.token_file, monitoring.tls.certificate is not None, client)

    def read(self, *names: str) -> str:
        """Return what is shown there, of these samples only where some are named.

        Raises:
            OSError, http.client.HTTPException: nothing answers, or we are not let in.
        """
        connection = self._connection()
        headers = {}
        if self.token_file is not None:
            headers["Authorization"] = f"Bearer {self.token_file.read_text(encoding='ascii').strip()}"
        try:
            asked = "&".join(f"name[]={name}" for name in names)
            connection.request("GET", f"/metrics?{asked}" if asked else "/metrics", headers=headers)
            reply = connection.getresponse()
            text = reply.read(BYTES_MAX).decode()
        finally:
            connection.close()
        if reply.status != http.client.OK:
            raise PermissionError(f"{self.host}:{self.port} answers {reply.status} {reply.reason}")
        return text

    def _connection(self) -> http.client.HTTPConnection:
        if not self.tls:
            return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context(cafile=self.client.ca)
        if self.client.certificate is not None:
            context.load_cert_chain(self.client.certificate, self.client.key, password="")
        return _Named(self.host, self.port, context, self.client.server_name or self.host)


class _Named(http.client.HTTPConnection):
    """HTTPS to a host whose certificate may have another name."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT_S)
        self._context, self._name = context, name

    def connect(self) -> None:
        """Connect, and see who answers."""
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


def scrape(endpoint: Endpoint, *names: str) -> Samples | None:
    """Return what an endpoint shows, None where nothing answers or it does not let us in.

    Who asks for few samples, by `names`, many times a second, spares both sides the others.
    """
    try:
        return Samples.of_text(endpoint.read(*names))
    except (OSError, http.client.HTTPException, ValueError):
        return None


def firing(prometheus: str) -> list[Firing]:
    """Return the pending and firing alerts of a Prometheus at a base URL such as http://localhost:9090.

    What fires always, as a heartbeat, is left out.

    Raises:
        InvalidInput: no http(s) URL.
        Unavailable: nothing answers there, or no Prometheus.
    """
    if not prometheus.startswith(("http://", "https://")):
        raise InvalidInput("--prometheus", f"{prometheus!r} is no URL", "write it like http://127.0.0.1:9090")
    try:
        with urlopen(f"{prometheus.rstrip('/')}/api/v1/alerts", timeout=TIMEOUT_S) as reply:
            alerts = json.loads(reply.read(BYTES_MAX))["data"]["alerts"]
    except (URLError, OSError, http.client.HTTPException, ValueError, KeyError) as error:
        raise Unavailable(f"{prometheus}: no Prometheus answers there ({error}); check the address") from None
    return [
        Firing(
            alert["labels"].get("alertname", ""),
            alert["labels"].get("severity", ""),
            alert["state"],
            alert.get("annotations", {}).get("summary", ""),
        )
        for alert in alerts
        if alert["labels"].get("severity") != HEARTBEAT
    ]
