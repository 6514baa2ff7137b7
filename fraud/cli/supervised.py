"""A supervised process drains when its supervisor is gone, so that none is left holding the data folder."""

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

SUPERVISOR = "FRAUD_SUPERVISOR"
"""Environment variable: the process id of the supervisor, set by it for its children."""

_LOOK_S = 0.5
_NAMED = f"{SUPERVISOR}=".encode()


def drain_without_supervisor(environment: Mapping[str, str]) -> None:
    """Watch the parent named in the environment from a thread; do nothing when none is named."""
    parent = environment.get(SUPERVISOR, "")
    if parent.isdigit():
        threading.Thread(target=_watch, args=(int(parent),), name="supervised", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    # Nobody reads what we say any more, and a broken pipe must not get in the way of draining.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.kill(os.getpid(), signal.SIGTERM)


def is_left_behind(pid: str) -> bool:
    """Tell whether a process was supervised by one that is gone, so that it drains by itself."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    except (OSError, ValueError, IndexError):
        return False  # no id, another user's, or it has ended
    named = [it.partition(b"=")[2].decode(errors="replace") for it in variables if it.startswith(_NAMED)]
    return bool(named) and named[-1] != parent
