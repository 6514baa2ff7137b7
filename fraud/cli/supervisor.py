"""Keeps child processes running until it is told to stop.

    one thread per child:  start → forward its lines → it ended → wait (back-off) → start again
                           could not be started → the same
    stop:                  SIGTERM and a share of the cores to all → grace of each → SIGKILL to those left

Children stand in sessions of their own, so Ctrl-C reaches them once, through
here, and one dying does not take the other along.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from fraud.cli.backoff import Backoff
from fraud.cli.supervised import SUPERVISOR
from fraud.stopping import Stopping
from fraud.training.priority import hurry_as_session

Forward = Callable[[str, str], None]

_LAST_LINES_S = 2.0
"""How long the last lines of a child that ended are waited for."""


class Supervisor:
    """Owns the child processes; `commands` maps a child's name to its command line."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        forward: Forward,
        *,
        grace_s: Mapping[str, float],
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        """Let `forward(name, line)` get every line a child writes, and what happens to it.

        `grace_s` is how long each child may take to end once it is told to.
        """
        self._commands = commands
        self._write = forward
        self._grace_s = grace_s
        self._backoff = backoff
        self._stop = Stopping()
        self._lock = threading.Lock()
        self._children: dict[str, subprocess.Popen[str]] = {}

    def stop(self) -> None:
        """Ask `run` to drain the children and return; callable from a signal handler."""
        self._stop.set()

    def pid(self, name: str) -> int | None:
        """Return the process id of a running child, or None."""
        child = self._children.get(name)
        return child.pid if child is not None and child.poll() is None else None

    def run(self) -> None:
        """Start the children and keep them running until `stop`; then drain them."""
        keepers = [threading.Thread(target=self._keep, args=(name,), name=name) for name in self._commands]
        for keeper in keepers:
            keeper.start()
        while not self._stop.wait(0.5):  # a bare wait would keep signal handlers from running
            pass
        self._drain()
        for keeper in keepers:
            keeper.join()

    def _keep(self, name: str) -> None:
        backoff = self._backoff()
        while not self._stop.is_set():
            started_s = time.monotonic()
            try:
                child = self._start(name)
                if child is None:
                    return
                ending = _ending(self._follow(name, child))
                if self._stop.is_set():
                    self._forward(name, f"stopped ({ending})")
                    return
                what = f"ended ({ending})"
            except (OSError, RuntimeError) as error:
                # No memory, process or thread is left, or the program is being replaced: both pass.
                what = f"not started ({error})"
            wait_s = backoff.after(time.monotonic() - started_s)
            self._forward(name, f"{what}; starting again in {wait_s:g} s")
            self._stop.wait(wait_s)

    def _follow(self, name: str, child: subprocess.Popen[str]) -> int:
        """Forward what a child says until it has ended; return its status.

        Raises:
            RuntimeError: no thread is left to read it with; it was killed.
        """
        reader = threading.Thread(target=self._read, args=(name, child), daemon=True)
        try:
            reader.start()
        except RuntimeError:
            _end_session(child)
            child.wait()
            raise
        # Not the end of its output: a process it left behind may hold the pipe open.
        status = child.wait()
        _end_session(child)
        reader.join(_LAST_LINES_S)
        return status

    def _forward(self, name: str, line: str) -> None:
        """Hand a line on, or lose it: where nobody takes it, children go on all the same."""
        with contextlib.suppress(OSError, ValueError):
            self._write(name, line)

    def _read(self, name: str, child: subprocess.Popen[str]) -> None:
        if child.stdout is not None:
            for line in child.stdout:
                self._forward(name, line.rstrip("\n"))

    def _start(self, name: str) -> subprocess.Popen[str] | None:
        with self._lock:  # so that a stop sees every child there is
            if self._stop.is_set():
                return None
            child = subprocess.Popen(
                list(self._commands[name]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "PYTHONUNBUFFERED": "1", SUPERVISOR: str(os.getpid())},
                start_new_session=True,
            )
            self._children[name] = child
            self._forward(name, f"started (pid {child.pid})")
            return child

    def _drain(self) -> None:
        with self._lock:
            children = dict(self._children)
        for child in children.values():
            child.terminate()
        told_s = time.monotonic()
        for child in children.values():
            if child.poll() is None:
                hurry_as_session(child.pid)  # one that gave way while it worked would end late
        # The shortest grace first, or a child that has a long one would keep another one alive.
        for name, child in sorted(children.items(), key=lambda each: self._grace_s[each[0]]):
            try:
                child.wait(max(0.0, told_s + self._grace_s[name] - time.monotonic()))
            except subprocess.TimeoutExpired:
                _end_session(child)


def _end_session(child: subprocess.Popen[str]) -> None:
    """Kill a child and what it started: nothing of a session may outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _ending(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name
