"""`fraud up`: one process dying does not take the other along, and is started again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraud.cli.backoff import Backoff
from fraud.cli.supervisor import Supervisor

pytestmark = pytest.mark.process
WAIT_S = 180.0

STEADY = (
    "import signal; stop = {signal.SIGTERM}; signal.pthread_sigmask(signal.SIG_BLOCK, stop);"
    "print('ready'); signal.sigwait(stop); print('drained')"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(600)"
)
GIVES_WAY = (
    "import os, pathlib, signal, time; from fraud.training.priority import give_way_as_session;"
    "stop = {signal.SIGTERM}; signal.pthread_sigmask(signal.SIG_BLOCK, stop);"
    "share = pathlib.Path('/proc/self/autogroup'); give_way_as_session(19);"
    "print('ready', share.read_text()); signal.sigwait(stop)\n"
    "while not share.read_text().endswith(' nice 0\\n'): time.sleep(0.01)"
)
SHORT = "print('ready')"
LEAVES_A_CHILD = (
    "import subprocess as s, sys; child = s.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('left', child.pid)"
)


class Heard:
    """What the children said, to wait for."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._more = threading.Condition()

    def __call__(self, name: str, line: str) -> None:
        with self._more:
            self.lines.append((name, line))
            self._more.notify_all()

    def of(self, name: str, start: str) -> list[str]:
        return [line for each, line in self.lines if each == name and line.startswith(start)]

    def wait(self, met: Callable[[], object]) -> None:
        with self._more:
            assert self._more.wait_for(lambda: bool(met()), WAIT_S), self.lines

    def until(self, met: Callable[[], bool]) -> None:
        """Wait for something that nobody says."""
        end_s = time.monotonic() + WAIT_S
        while not met():
            assert time.monotonic() < end_s, self.lines
            threading.Event().wait(0.01)


@contextmanager
def running(
    codes: dict[str, str], grace_s: float = WAIT_S, program: str = sys.executable
) -> Iterator[tuple[Supervisor, Heard]]:
    heard = Heard()
    commands = {name: [program, "-c", code] for name, code in codes.items()}
    grace = dict.fromkeys(codes, grace_s)
    supervisor = Supervisor(commands, heard, grace_s=grace, backoff=lambda: Backoff(0.01, 0.05, 60.0))
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield supervisor, heard
    finally:
        supervisor.stop()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_a_killed_process_is_started_again_and_the_other_never_notices() -> None:
    with running({"serve": STEADY, "retrain": STEADY}) as (supervisor, heard):
        heard.wait(lambda: heard.of("serve", "ready") and heard.of("retrain", "ready"))
        survivor, victim = supervisor.pid("serve"), supervisor.pid("retrain")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        heard.wait(lambda: len(heard.of("retrain", "ready")) >= 2)
        assert heard.of("retrain", "ended (SIGKILL)")
        assert supervisor.pid("serve") == survivor
        assert supervisor.pid("retrain") not in (None, victim)


def test_stopping_drains_both() -> None:
    with running({"serve": STEADY, "retrain": STEADY}) as (supervisor, heard):
        heard.wait(lambda: heard.of("serve", "ready") and heard.of("retrain", "ready"))
        supervisor.stop()
        heard.wait(lambda: heard.of("serve", "stopped") and heard.of("retrain", "stopped"))
    assert heard.of("serve", "drained")
    assert heard.of("retrain", "drained")
    assert len(heard.of("serve", "started")) == 1


def test_one_that_does_not_drain_is_killed_after_the_grace() -> None:
    with running({"serve": STUBBORN}, grace_s=0.2) as (supervisor, heard):
        heard.wait(lambda: heard.of("serve", "ready"))
        supervisor.stop()
        heard.wait(lambda: heard.of("serve", "stopped (SIGKILL)"))


def test_each_has_a_grace_of_its_own() -> None:
    heard = Heard()
    supervisor = Supervisor(
        {name: [sys.executable, "-c", STUBBORN] for name in ("retrain", "serve")},
        heard,
        grace_s={"retrain": WAIT_S, "serve": 0.2},
    )
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        heard.wait(lambda: heard.of("serve", "ready") and heard.of("retrain", "ready"))
        supervisor.stop()
        heard.wait(lambda: heard.of("serve", "stopped (SIGKILL)"))
        patient = supervisor.pid("retrain")
        assert patient is not None
        os.kill(patient, signal.SIGKILL)
    finally:
        supervisor.stop()
        thread.join(WAIT_S)


def test_one_that_gave_way_gets_its_share_of_the_cores_back_to_end_with() -> None:
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("the kernel shares cores out by something else than sessions")
    with running({"retrain": GIVES_WAY}) as (supervisor, heard):
        heard.wait(lambda: heard.of("retrain", "ready"))
        assert heard.of("retrain", "ready")[0].endswith(" nice 19"), "it gave way"
        supervisor.stop()
        heard.wait(lambda: heard.of("retrain", "stopped (status 0)"))


def test_one_that_keeps_ending_is_started_later_and_later() -> None:
    with running({"retrain": SHORT}) as (_, heard):
        heard.wait(lambda: len(heard.of("retrain", "ended")) >= 4)
    waits = [line.rpartition(" in ")[2] for line in heard.of("retrain", "ended")]
    assert waits[:4] == ["0.01 s", "0.02 s", "0.04 s", "0.05 s"]


def test_what_a_process_leaves_behind_ends_with_it() -> None:
    with running({"retrain": LEAVES_A_CHILD}) as (_, heard):
        heard.wait(lambda: heard.of("retrain", "ended"))
        left = int(heard.of("retrain", "left")[0].split()[1])
        heard.until(lambda: not _runs(left))


def test_a_child_drains_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    drained = tmp_path / "drained"
    child = (
        "import os, signal; from pathlib import Path;"
        "from fraud.cli.supervised import drain_without_supervisor;"
        "stop = {signal.SIGTERM}; signal.pthread_sigmask(signal.SIG_BLOCK, stop);"
        "drain_without_supervisor(os.environ); print('ready'); signal.sigwait(stop); print('draining');"
        f"Path({str(drained)!r}).touch()"
    )
    parent = (
        "import sys; from fraud.cli.supervisor import Supervisor;"
        f"command = [sys.executable, '-c', {child!r}];"
        "forward = lambda name, line: print(line, flush=True);"
        "Supervisor({'serve': command}, forward, grace_s={'serve': 1.0}).run()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        started = next(line for line in supervisor.stdout if line.startswith("started"))
        assert any(line.startswith("ready") for line in supervisor.stdout)
        supervisor.kill()
    heard = Heard()
    pid = int("".join(filter(str.isdigit, started)))
    heard.until(lambda: not _runs(pid))
    assert drained.exists()


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 — a kernel file
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_line_that_nobody_takes_ends_no_supervision() -> None:
    heard = Heard()

    def full(name: str, line: str) -> None:
        heard(name, line)
        raise OSError(28, "No space left on device")

    loud = "import sys; [print('x' * 1_000) for _ in range(200)]; sys.exit(3)"
    supervisor = Supervisor(
        {"loud": [sys.executable, "-c", loud]}, full, grace_s={"loud": 5.0}, backoff=lambda: Backoff(0.01)
    )
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        heard.wait(lambda: len(heard.of("loud", "started")) >= 2)
    finally:
        supervisor.stop()
        thread.join()


def test_a_program_that_is_away_while_it_is_replaced_is_started_once_it_is_back(tmp_path: Path) -> None:
    program = tmp_path / "python"
    with running({"serve": STEADY}, program=str(program)) as (_, heard):
        heard.wait(lambda: len(heard.of("serve", "not started")) >= 2)
        program.symlink_to(sys.executable)
        heard.wait(lambda: heard.of("serve", "ready"))
    said = heard.of("serve", "not started")
    assert "No such file or directory" in said[0]
    assert [line.rpartition("; ")[2] for line in said[:2]] == [
        "starting again in 0.01 s",
        "starting again in 0.02 s",
    ]


def test_a_child_that_no_thread_is_left_to_read_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, refused = threading.Thread.start, list[threading.Thread]()

    def refuse_once(thread: threading.Thread) -> None:
        if thread.daemon and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    with running({"serve": STEADY}) as (supervisor, heard):
        heard.wait(lambda: heard.of("serve", "ready"))
        first, second = (int("".join(filter(str.isdigit, it))) for it in heard.of("serve", "started"))
        heard.until(lambda: not _runs(first))
        assert supervisor.pid("serve") == second
    assert heard.of("serve", "not started (can't start new thread); starting again")


def test_one_that_cannot_be_started_keeps_nobody_from_stopping(tmp_path: Path) -> None:
    with running({"serve": STEADY}, program=str(tmp_path / "nothing")) as (_, heard):
        heard.wait(lambda: heard.of("serve", "not started"))
