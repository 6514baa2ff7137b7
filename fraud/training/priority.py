"""Training gives way to whoever answers payments on the same machine."""

import os


def give_way(niceness: int) -> None:
    """Lower the priority of this process and of the threads it starts from here on.

    On Linux its work is scheduled as idle (`SCHED_IDLE`): it runs when a core has
    nothing else to do, and whatever wakes up takes the core at once. Niceness
    alone leaves it a tenth of each core, which shows in the slowest answers.
    Elsewhere `niceness` 0..19 is all there is; 0 leaves the priority as it is.
    """
    if niceness == 0:
        return
    # Absolute, not os.nice: Ray uses a process for many tasks, and increments would add up.
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
