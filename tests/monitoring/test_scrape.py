"""What is asked of a Prometheus: its alerts, but not the one that always fires."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fraud.monitoring.scrape import HEARTBEAT, Firing, firing

ALERTS = [
    {"labels": {"alertname": "Heartbeat", "severity": HEARTBEAT}, "state": "firing"},
    {
        "labels": {"alertname": "FraudNotServing", "severity": "page"},
        "state": "pending",
        "annotations": {"summary": "The scorer is up and does not serve"},
    },
]


class Handler(BaseHTTPRequestHandler):
    """Answers as a Prometheus does that knows these alerts."""

    def do_GET(self) -> None:
        body = json.dumps({"status": "success", "data": {"alerts": ALERTS}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def prometheus() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_fires_always_is_left_out(prometheus: str) -> None:
    told = "The scorer is up and does not serve"
    assert firing(prometheus) == [Firing("FraudNotServing", "page", "pending", told)]
