"""Named points at which a test may end the process, to see what a crash there leaves behind.

`FRAUD_FAULT_POINT=rollback.recorded` kills the process with SIGKILL when it
passes that point; without the variable a point costs one comparison. The points
stand in `POINTS`, so a test can visit every one.
"""

import os
import signal

VARIABLE = "FRAUD_FAULT_POINT"
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
_armed = os.environ.get(VARIABLE, "")


def pass_point(name: str) -> None:
    """Go on, or die here if this point is armed."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
