"""Training gives way to whoever answers payments on the same machine."""

import contextlib
import os
import time
from pathlib import Path

_USUAL_SHARE, _LEAST_SHARE = 0, 19
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
    _share(os.getpid(), _LEAST_SHARE)


def hurry_as_session(leader: int) -> None:
    """Give the session that a process leads the usual share of each core again, so that it ends soon.

    With the least one, on a machine under load, ending takes many times as long. No right is needed for it.
    """
    _share(leader, _USUAL_SHARE)


def _share(leader: int, niceness: int) -> None:
    place = Path(f"/proc/{leader}/autogroup")
    for _ in range(_TRIES):
        try:
            place.write_text(str(niceness))
            return
        except BlockingIOError:  # the kernel takes one such change in 0.1 s
            time.sleep(_TRY_AGAIN_S)
        except OSError:
            return
