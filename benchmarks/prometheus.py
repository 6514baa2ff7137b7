"""A real Prometheus with the rules of deploy/, for as long as a `with` lasts; asked over its own HTTP API.

    targets, rules (holds shortened, or as they are) → prometheus on a free port → query · series · alerts

A run of seconds cannot wait an hour for an alert: `hold` replaces every hold-down. The
expressions stay as they are deployed.
"""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from benchmarks.report import REPOSITORY
from fraud.adversary.stage import free_port

RULES = REPOSITORY / "deploy" / "prometheus" / "rules"
_START_S, _STOP_S, _POLL_S, _ANSWER_S = 30.0, 20.0, 0.1, 30.0


def is_installed() -> bool:
    """Say whether the Debian package prometheus, or its like, is here."""
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def ask(self, path: str, **parameters: str | float) -> Any:
        """Return the data of an answer.

        Raises:
            ValueError: Prometheus refuses the question; the message is its own.
        """
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}"
        try:
            with urlopen(address, timeout=_ANSWER_S) as reply:
                return json.load(reply)["data"]
        except HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode(errors='replace')}") from None

    def query(self, expr: str, at_s: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Return the series of an expression now, or at a moment: labels and value."""
        given = {"query": expr} if at_s is None else {"query": expr, "time": at_s}
        return [(row["metric"], float(row["value"][1])) for row in self.ask("query", **given)["result"]]

    def over(self, expr: str, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """Return the series of an expression over a span, as the API spells them."""
        found: list[dict[str, Any]] = self.ask(
            "query_range", query=expr, start=start_s, end=end_s, step=step_s
        )["result"]
        return found

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="firing"}')}


@contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, Sequence[str]], *, hold: str | None = None, every: str = "1s"
) -> Iterator[Prometheus]:
    """Run Prometheus on targets by job, with the deployed rules; `folder` keeps its files.

    Raises:
        RuntimeError: it did not start; the message has what it wrote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(path) for path in _rules(folder, hold)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(given)}]} for job, given in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=20y",
        "--log.level=warn",
    ]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        _wait_ready(child, port, folder / "log")
        yield Prometheus(port)
    finally:
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _rules(folder: Path, hold: str | None) -> list[Path]:
    """Return the deployed rule files, or copies with another hold-down."""
    found = sorted(RULES.glob("*.yml"))
    if hold is None:
        return found
    copies = []
    for path in found:
        rules = yaml.safe_load(path.read_text(encoding="utf-8"))
        for rule in (rule for group in rules["groups"] for rule in group["rules"] if "for" in rule):
            rule["for"] = hold
        copies.append(folder / path.name)
        copies[-1].write_text(yaml.safe_dump(rules), encoding="utf-8")
    return copies


def _wait_ready(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end, pause = time.monotonic() + _START_S, threading.Event()
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=_ANSWER_S):
                return
        except (URLError, OSError):
            if child.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Prometheus did not start:\n{log.read_text(errors='replace')}") from None
            pause.wait(_POLL_S)
