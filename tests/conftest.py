"""For all tests: how long a property may take, where Ray keeps files, the order of files, who may skip."""

import os
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Generator

import pytest
import structlog
from hypothesis import settings

from tests.order import seconds_of, spread

# A property takes as long as the machine needs, and prints how to run a failure again.
settings.register_profile("steady", settings(), deadline=None, print_blob=True)
settings.load_profile("steady")

RAY_FOLDER = "RAY_TMPDIR"
MAY_SKIP = (
    "Prometheus is not installed",
    "amtool is not installed",
    "glibc alone keeps such pages",
    "mounting is not allowed here",
    "no Chromium here",
    "openssl is not installed",
    "promtool is not installed",
    "setpriv is not installed",
    "systemd-analyze is not installed",
    "the kernel shares cores out by something else than sessions",
)
"""How the reasons begin for which a test may be skipped with CI set: the machine lacks something."""

_ray_folder = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Give Ray a folder of this run: it cleans up nothing of a process that was killed.

    Its sockets lie deep below, and their paths may have 107 bytes at most; so the folder is a short one.
    """
    if RAY_FOLDER not in os.environ:
        config.stash[_ray_folder] = os.environ[RAY_FOLDER] = tempfile.mkdtemp(prefix="ray-", dir="/tmp")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder: whoever has made it, which is none of the workers."""
    made = config.stash.get(_ray_folder, None)
    if made is not None:
        del os.environ[RAY_FOLDER]
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(autouse=True)
def process_as_before() -> Generator[None]:
    """Put back what a command that a test ran in this process has set for the whole of it."""
    cores, interval_s = os.sched_getaffinity(0), sys.getswitchinterval()
    hooks, logs = (sys.excepthook, threading.excepthook), structlog.get_config()
    yield
    os.sched_setaffinity(0, cores)
    sys.setswitchinterval(interval_s)
    sys.excepthook, threading.excepthook = hooks
    if structlog.get_config() != logs:
        structlog.configure(**logs)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files in the order in which workers take them; tests stay as they stand in a file."""
    names = {item: item.nodeid.partition("::")[0] for item in items}
    heavy = {names[item] for item in items if item.get_closest_marker("process")}
    tests = Counter(names.values())
    seconds = {name: seconds_of(name, count, heavy=name in heavy) for name, count in tests.items()}
    place = {name: number for number, name in enumerate(spread(seconds, heavy))}
    items.sort(key=lambda item: place[names[item]])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI set, let a test fail that is skipped for a reason that is not among `MAY_SKIP`."""
    report = yield
    if report.skipped and os.environ.get("CI") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(MAY_SKIP):
            report.outcome = "failed"
            report.longrepr = f"CI is set and this was skipped: {reason}"
    return report
