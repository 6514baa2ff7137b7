"""A supervised process drains when its supervisor is gone, so that none is left holding the data folder."""

import os
import signal
import threading
import time
from collections.abc import Mapping

SUPERVISOR = "FRAUD_SUPERVISOR"
"""Environment variable: the process id of the supervisor, set by it for its children."""

_LOOK_S = 0.5


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
