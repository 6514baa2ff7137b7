"""Named points at which a test may end, hold up or break the process, to see what that leaves behind.

`FRAUD_FAULT_POINT=rollback.recorded` kills the process with SIGKILL when it
passes that point. `FRAUD_FAULT_HOLD=log.committing:/path` makes it wait there
for as long as the file `/path` exists, as a disk that hangs.
`FRAUD_FAULT_RAISE=scoring.folded:/path` raises an error there for as long as
the file exists, one that quotes what is at hand, as careless code does. Without
the variables a point costs two comparisons. The points stand in `POINTS`,
`HOLDS` and `RAISES`, so a test can visit every one.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

VARIABLE = "FRAUD_FAULT_POINT"
HOLD_VARIABLE = "FRAUD_FAULT_HOLD"
RAISE_VARIABLE = "FRAUD_FAULT_RAISE"
POINTS = (
    "rollback.recorded",
    "rollback.loaded",
    "rollback.applied",
    "exclusion.recorded",
    "exclusion.rolled_back",
    "exclusion.rebuilt",
    "exclusion.applied",
    "exclusion.in_force",
    "exclusion.retrain_requested",
    "erasure.begun",
    "erasure.log_blanked",
    "erasure.archive_blanked",
    "erasure.files_dropped",
    "erasure.recorded",
    "import.appended",
)
HOLDS = ("restore.folding", "log.committing", "rebuild.begun")
RAISES = ("scoring.folded", "cycle.started")
_HOLD_POLL_S = 0.005
_armed = os.environ.get(VARIABLE, "")
_held, _, _held_while = os.environ.get(HOLD_VARIABLE, "").partition(":")
_broken, _, _broken_while = os.environ.get(RAISE_VARIABLE, "").partition(":")


def pass_point(name: str) -> None:
    """Go on, or die or wait here if this point is armed."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
    if name == _held:
        while Path(_held_while).exists():
            time.sleep(_HOLD_POLL_S)


def raise_point(name: str, at_hand: Callable[[], object]) -> None:
    """Go on, or raise an error that quotes what is at hand if this point is armed.

    Raises:
        LookupError: it is, and its file exists.
    """
    if name == _broken and Path(_broken_while).exists():
        raise LookupError(f"fault at {name}: {at_hand()!r}")
