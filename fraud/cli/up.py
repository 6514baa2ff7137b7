"""`fraud up`: the scorer and the retrainer as two supervised processes.

Beside a service that runs already it ends at once: no restart would help.
"""

import json
import signal
import sys
import threading
from typing import Final

import typer

from fraud.cli.holders import check_free
from fraud.cli.shell import Output, Shell, shell_of
from fraud.cli.supervisor import Supervisor

_ABOVE_DRAIN_S: Final = 5.0
"""Seconds the scorer gets beyond its own drain before it is killed."""
RETRAINER_GRACE_S: Final = 60.0
"""Seconds the retrainer gets, as from systemd and Compose: it leaves a cycle only between two steps."""


def up(ctx: typer.Context) -> None:
    """Run scorer and retrainer until SIGTERM or SIGINT; each is started again when it ends."""
    shell = shell_of(ctx)
    settings = shell.settings
    check_free(settings)
    run = [sys.executable, "-m", "fraud.cli", "--config", str(shell.config), "--output", shell.output]
    supervisor = Supervisor(
        {"serve": [*run, "serve"], "retrain": [*run, "retrain", "--watch"]},
        _Lines(shell),
        grace_s={"serve": settings.server.drain / 1e6 + _ABOVE_DRAIN_S, "retrain": RETRAINER_GRACE_S},
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    shell.note(f"scorer at {shell.target(None)}, data in {settings.data_dir}; Ctrl-C stops both")
    supervisor.run()


class _Lines:
    """Writes the lines of both processes to stdout, one at a time, each with its process's name.

    In JSON, what is no JSON line becomes one: what happens to a process, and what a library prints.
    """

    def __init__(self, shell: Shell) -> None:
        self._named = shell.output is Output.TABLE
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        if self._named:
            line = f"{name:<7} | {line}"
        elif not line.startswith("{"):
            line = json.dumps({"process": name, "event": line})
        with self._lock:
            typer.echo(line)
