"""Training gives way to whoever answers payments on the same machine."""

import contextlib
import os
import time
from pathlib import Path

_SESSION_NICENESS = Path("/proc/self/autogroup")
_LEAST_SHARE = 19
_TRIES, _TRY_AGAIN_S = 20, 0.1


def give_way(niceness: int) -> None:
    """Lower the priority of this process and of the threads it starts from here on.

    On Linux its work is scheduled as idle (`SCHED_IDLE`): it runs when a core has
    nothing else to do, and whatever wakes up takes the core at once. Niceness
    alone leaves it a tenth of each core, which shows in the slowest answers.
    Elsewhere `niceness` 0..19 is all there is; 0 leaves the priority as it is.
    """
    if niceness == 0:
        return
    # Absolute, not os.nice: Ray uses a process for many tasks, and increments would add up. Only root may
    # take a priority back that was given up, so one that is lower already stays.
    os.setpriority(os.PRIO_PROCESS, 0, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))
    if hasattr(os, "SCHED_IDLE"):
        # Some sandboxes know one policy only: there niceness has to do.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def give_way_as_session(niceness: int) -> None:
    """Take the least share of each core for the session that this process leads.

    Linux shares cores out among sessions first and looks at priorities only within
    one (sched(7), "The autogroup feature"): beside a scorer in another session, as
    `fraud up` starts it, `SCHED_IDLE` workers get half of each core all the same.
    Does nothing where others share the session, as in a terminal, and where the
    kernel has no such groups; a control group's share is its owner's to set.
    """
    if niceness == 0 or os.getsid(0) != os.getpid():
        return
    for _ in range(_TRIES):
        try:
            _SESSION_NICENESS.write_text(str(_LEAST_SHARE))
            return
        except BlockingIOError:  # the kernel takes one such change in 0.1 s
            time.sleep(_TRY_AGAIN_S)
        except OSError:
            return
