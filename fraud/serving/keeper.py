"""Keeps recovery short and the log small: snapshots, and pruning what is safe elsewhere.

An entry leaves the log when it is archived on the disk, older than the idempotency horizon
and the reach of label-fed features, and older than the oldest snapshot kept.

Age is told against the newest event where that is older than the clock: a label
counts by event time, so in days without traffic nothing grows out of its reach.
"""

import asyncio
import math
import time

import structlog

from fraud.archive.archive import Archive
from fraud.clock import HOUR_US
from fraud.errors import Unavailable
from fraud.features.spec import FeatureSpec
from fraud.serving.batcher import Batcher
from fraud.serving.recovery import Snapshots
from fraud.serving.scorer import Scorer
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.keeper")
RETRY_S = 60.0
"""Until a snapshot that the disk did not take is tried again."""
PRUNE_AT_ONCE = 20_000
"""Positions that one look prunes at most, 0.3 s: who looks follows the ledger, too."""
FORGET_EVERY_US = HOUR_US
"""So much further labels have to reach back than is needed before those of old payments are let go."""


class Keeper:
    """Tends one scorer's snapshots and log."""

    def __init__(
        self, settings: Settings, spec: FeatureSpec, scorer: Scorer, archive: Archive, snapshots: Snapshots
    ) -> None:
        self._every_events = settings.log.snapshot_every_events
        self._prune_every_s = settings.log.prune_every / 1e6
        self._horizon_us = max(settings.log.idempotency_horizon, spec.reach_us)
        self._future_us = settings.schema_.future_tolerance
        self._scorer = scorer
        self._archive = archive
        self._snapshots = snapshots
        self._again_at = -math.inf
        self._forgot_us = -math.inf
        self._pruned_at = time.monotonic()

    async def tend(self, batcher: Batcher) -> None:
        """Snapshot after `log.snapshot_every_events`, prune every `log.prune_every`.

        Of a backlog a part is pruned, and the next one when it is called again.
        """
        state = self._scorer.state
        due = state is not None and self._scorer.log.head() - state.snapshot_at >= self._every_events
        if due and time.monotonic() >= self._again_at:
            await batcher.run(self.snapshot_now)
        if time.monotonic() - self._pruned_at >= self._prune_every_s:
            self._pruned_at = time.monotonic()
            upto = await asyncio.to_thread(self._prunable)
            if upto:
                if await asyncio.to_thread(self._prune, upto):
                    self._pruned_at = -math.inf
                await batcher.run(self._forget)

    def snapshot_now(self) -> None:
        """Write a snapshot where the fold stands; on the scoring thread, or when it has stopped.

        One that the disk does not take is logged, and due again after `RETRY_S`.
        """
        state = self._scorer.state
        if state is None or state.fold.position == 0:
            return
        try:
            self._scorer.log.secure()
            path = self._snapshots.write(state.fold, {"exploration": state.spending, "lists": state.lists})
        except Unavailable as error:
            # The log has everything; only the next start takes longer.
            self._again_at = time.monotonic() + RETRY_S
            _log.error("snapshot not written; will try again", why=error)
            return
        state.snapshot_at = state.fold.position
        _log.info("snapshot written", position=state.fold.position, path=str(path))

    def _prunable(self) -> int:
        return min(self._archive.secure(), self._snapshots.oldest_position())

    def _prune(self, upto: int) -> bool:
        """Prune what is old enough, `PRUNE_AT_ONCE` at most; tell whether more may be left."""
        state = self._scorer.state
        if state is None:
            return False
        log = self._scorer.log
        stop = min(upto, log.first() - 1 + PRUNE_AT_ONCE)
        # An event may lie ahead of its arrival by the tolerance, so it stays in reach for so much longer.
        newest_us = min(self._scorer.now_us(), state.fold.state.newest_us) - self._future_us
        pruned = log.prune(stop, newest_us - self._horizon_us)
        if pruned:
            _log.info("log pruned", entries=pruned)
        return stop < upto and log.first() > stop

    def _forget(self) -> None:
        """Let the labels of old payments go; it looks at all that are kept, so not after each pruning."""
        before_us = self._scorer.now_us() - self._horizon_us
        if self._scorer.state is not None and before_us - self._forgot_us >= FORGET_EVERY_US:
            self._forgot_us = before_us
            self._scorer.state.fold.forget_before(before_us)
