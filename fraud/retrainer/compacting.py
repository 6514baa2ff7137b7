"""Merges the small files of the archive: a copy a minute is a file a minute, and every scan opens them all.

after a copy ─ a table with more than `training.archive_small_files_max` ─▶ compacted, at most once a day

It runs between cycles, under the lease that copies and readers hold, so an erasure's deleting waits for it,
or goes first. What is merged stays `retention.files` for whoever reads it yet.
"""

from datetime import timedelta

import structlog

from fraud.clock import DAY_US
from fraud.retrainer.cycle import Workshop

_log = structlog.get_logger("fraud.retrainer.compacting")


class CompactionWatch:
    """Looks after each copy; after a restart a day begins anew. One owner."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._tried_us: dict[str, int] = {}

    def turn(self) -> None:
        """Compact what is crowded; a failure is logged, and tried again a day later."""
        try:
            self._turn()
        except Exception:  # noqa: BLE001 — copies and cycles go on with small files, too
            _log.exception("the archive was not compacted")

    def _turn(self) -> None:
        shop, now_us = self._shop, self._shop.clock.now_us()
        counts = shop.archive.small_files()
        crowded = [
            table
            for table, files in counts.items()
            if files > shop.settings.training.archive_small_files_max
            and now_us - self._tried_us.get(table, now_us - DAY_US) >= DAY_US
        ]
        if not crowded:
            return
        self._tried_us |= dict.fromkeys(crowded, now_us)
        shop.archive.compact(timedelta(microseconds=shop.settings.retention.files), crowded)
        _log.info("archive compacted", small_files={table: counts[table] for table in crowded})
