"""How far a restore is: told to the log, the metrics and whoever wants to stop it.

    begin(snapshot position, log head) ─► passed(position) … ─► end()

Written by the thread that restores; read by any other.
"""

import time
from collections.abc import Callable

import structlog

from fraud.faults import pass_point

_log = structlog.get_logger("fraud.serving.progress")
LOOK_EVERY = 1_000
"""Log positions between two looks at the clock."""
TELL_EVERY_S = 2.0


class RestoreStopped(Exception):
    """The process was told to end while it restored; nothing was lost."""


class RestoreProgress:
    """Share of the log between snapshot and head that is folded; `show` gets it, 0 to 1, as it grows."""

    def __init__(self, show: Callable[[float], object] = float) -> None:
        self._show = show
        self._from = self._to = self._look_at = 0
        self._told_s = 0.0
        self._stopped = False

    def begin(self, position: int, head: int) -> None:
        """Say what is restored: the log behind `position`, up to `head`."""
        self._from, self._to = position, head
        self._look_at = position + LOOK_EVERY
        self._told_s = time.monotonic()
        self._show(0.0)
        _log.info("restoring state", snapshot_at=position, log_head=head, entries=head - position)

    def passed(self, position: int) -> None:
        """Note that the entry at `position` is about to be folded.

        Raises:
            RestoreStopped: `stop` was called.
        """
        pass_point("restore.folding")
        if position < self._look_at and not self._stopped:
            return
        if self._stopped:
            raise RestoreStopped("told to stop while state was being restored; the next start begins again")
        self._look_at = position + LOOK_EVERY
        done = (position - self._from) / max(1, self._to - self._from)
        self._show(done)
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            _log.info("restoring state", position=position, log_head=self._to, percent=int(100 * done))

    def end(self) -> None:
        """Say that state stands where the log ends."""
        self._show(1.0)
        _log.info("state restored", from_position=self._from, to_position=self._to)

    def stop(self) -> None:
        """Let the restore, and any later one, end at its next entry; from any thread."""
        self._stopped = True
