"""The folder a demo or a contest plays in, and the two real processes that play.

    out/  fraud.toml · data/ · logs/serve.log · logs/retrain.log · report.html · figures.json

The scorer and the retrainer are started through the command line, as an
operator would; ports are given by environment, so two stages do not collide.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from fraud.client import Client
from fraud.errors import NotAllowedNow, Unavailable
from fraud.settings import Settings, load_settings

_MARKER = ".fraud-demo"
_OURS = ("fraud.toml", "data", "logs", "report.html", "figures.json")
_STOP_SECONDS = 20.0
_LOOK_SECONDS = 1.0
"""How often one who waits looks whether the process is still there."""
_PORTS = range(20_000, 32_000)


class Stage:
    """Owns the folder and the child processes of one demo or contest; a context manager.

    Told to end (SIGTERM), it ends its children first, as for an error or Ctrl-C.

    `config` is the text of the configuration (default: the demo's), `environment` overrides its
    keys for both processes.

    Raises:
        NotAllowedNow: the folder holds what no stage wrote.
        ConfigError: the configuration is wrong.
    """

    def __init__(
        self, out: Path, config: str | None = None, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.out = out.resolve()
        self.port = free_port()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._former: Any = None
        self._given = dict(environment)
        self._clear()
        if config is None:
            config = files("fraud.adversary").joinpath("demo.toml").read_text(encoding="utf-8")
        self.config.write_text(config, encoding="utf-8")
        self.settings: Settings = load_settings(self.config, self._given)

    @property
    def config(self) -> Path:
        """The configuration both processes read."""
        return self.out / "fraud.toml"

    @property
    def target(self) -> str:
        """Where the scorer listens."""
        return f"127.0.0.1:{self.port}"

    def _clear(self) -> None:
        """Make the folder empty, refusing one that an earlier demo did not write."""
        self.out.mkdir(parents=True, exist_ok=True)
        marker = self.out / _MARKER
        if any(self.out.iterdir()) and not marker.exists():
            raise NotAllowedNow(
                f"{self.out}: holds files that no demo wrote; give an empty folder with --out"
            )
        for name in _OURS:
            place = self.out / name
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
        marker.touch()
        (self.out / "logs").mkdir()

    def start(self, name: str, *arguments: str) -> None:
        """Start `fraud --config ... ARGUMENTS`; its output goes to `logs/NAME.log`."""
        command = [sys.executable, "-m", "fraud.cli", "--config", str(self.config), *arguments]
        with self.log_of(name).open("wb") as log:
            self._children[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment(),
            )

    def log_of(self, name: str) -> Path:
        """Where a process writes what it has to say."""
        return self.out / "logs" / f"{name}.log"

    def _environment(self) -> Mapping[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("FRAUD__")}
        own = {"FRAUD__SERVER__PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        return {**inherited, **self._given, **own}

    def wait_ready(self, client: Client, seconds: float) -> None:
        """Wait until the scorer serves, or say at once that it ended.

        Raises:
            Unavailable: it ended, or is not ready within `seconds`.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(Unavailable):
                return client.wait_ready(min(_LOOK_SECONDS, left))
            self.check()
        raise Unavailable(f"{self.target} is not serving after {seconds:g} s; see {self.log_of('serve')}")

    def pid_of(self, name: str) -> int:
        """Return the id of a process that was started."""
        return self._children[name].pid

    def join(self, name: str, seconds: float) -> int:
        """Wait until a process has ended and return its status; raises `subprocess.TimeoutExpired`."""
        return self._children[name].wait(seconds)

    def check(self) -> None:
        """Confirm that every process is still there.

        Raises:
            Unavailable: one ended; the message has the last lines it wrote.
        """
        for name, child in self._children.items():
            if child.poll() is not None:
                said = self.log_of(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
                tail = "\n  ".join(said[-8:])
                raise Unavailable(
                    f"'fraud {name}' ended with status {child.returncode}; see {self.log_of(name)}\n  {tail}"
                )

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self._children.values():
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._former is not None:
            signal.signal(signal.SIGTERM, self._former)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on.

    It lies below those that outgoing connections get, so that none of them takes it meanwhile.
    """
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", secrets.choice(_PORTS)))
            port: int = listener.getsockname()[1]
            return port
