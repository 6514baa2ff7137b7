"""`fraud up` with the real scorer and the real retrainer."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud.cli.shell import Output, Shell
from fraud.cli.up import _Lines
from fraud.client import Client
from tests.cli.made import made_config

pytestmark = pytest.mark.process
START_S = 180.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = made_config(tmp_path, monitored=False)
    path.write_text(path.read_text().replace("#scoring_rows_max", "scoring_rows_max"))
    return path


@pytest.fixture
def up(config: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fraud.cli", "--config", str(config), "up"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Read lines until one matches; it is told to end when none does in time."""
    assert process.stdout is not None
    heard = []
    limit = threading.Timer(START_S, process.terminate)
    limit.start()
    try:
        for line in process.stdout:
            heard.append(line)
            found = re.search(pattern, line)
            if found:
                return found
    finally:
        limit.cancel()
    raise AssertionError(f"{pattern!r} was never said:\n{''.join(heard)}")


def test_a_killed_scorer_comes_back_and_both_drain_on_sigterm(
    config: Path, up: subprocess.Popen[str]
) -> None:
    port = int(re.findall(r"(?m)^port = (\d+)", config.read_text())[0])
    scorer = int(wait_for(up, r"serve   \| started \(pid (\d+)\)")[1])
    with Client(f"127.0.0.1:{port}", deadline_s=START_S) as client:
        client.wait_ready(START_S)
        os.kill(scorer, signal.SIGKILL)
        again = int(wait_for(up, r"serve   \| started \(pid (\d+)\)")[1])
        assert again != scorer
        client.wait_ready(START_S)
        assert client.get_champion("card").version == ""
    up.send_signal(signal.SIGTERM)
    wait_for(up, r"serve   \| stopped \(status 0\)")
    assert up.wait(START_S) == 0


def test_every_line_of_json_output_is_json_and_says_which_process(config: Path) -> None:
    lines = _Lines(Shell(config, Output.JSON))
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("fraud.cli.up.typer.echo", said.append)
        lines("serve", "started (pid 4711)")
        lines("retrain", '{"event": "watching"}')
    assert [json.loads(line) for line in said] == [
        {"process": "serve", "event": "started (pid 4711)"},
        {"event": "watching"},
    ]
