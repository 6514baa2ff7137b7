"""Named points at which a test may end or hold up the process, to see what that leaves behind.

`FRAUD_FAULT_POINT=rollback.recorded` kills the process with SIGKILL when it
passes that point. `FRAUD_FAULT_HOLD=log.committing:/path` makes it wait there
for as long as the file `/path` exists, as a disk that hangs. Without the
variables a point costs two comparisons. The points stand in `POINTS` and
`HOLDS`, so a test can visit every one.
"""

import os
import signal
import time
from pathlib import Path

VARIABLE = "FRAUD_FAULT_POINT"
HOLD_VARIABLE = "FRAUD_FAULT_HOLD"
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
)
HOLDS = ("restore.folding", "log.committing")
_HOLD_POLL_S = 0.005
_armed = os.environ.get(VARIABLE, "")
_held, _, _held_while = os.environ.get(HOLD_VARIABLE, "").partition(":")


def pass_point(name: str) -> None:
    """Go on, or die or wait here if this point is armed."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
    if name == _held:
        while Path(_held_while).exists():
            time.sleep(_HOLD_POLL_S)
