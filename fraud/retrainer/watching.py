"""The monitoring of the retraining process: what is due is computed between cycles, a scrape only reads.

    each turn of the daemon     the ledger's figures, when it has grown
    after each copy             realised quality, when something has matured or come in
                                recent traffic, probing and feeds, every so often
                                what asks for a retrain

A part that fails is counted and logged; it keeps neither the others nor a retrain from running.
Where the copy itself fails, what an older archive still tells is computed all the same.
"""

from collections.abc import Callable

import structlog

from fraud.retrainer.cycle import Workshop
from fraud.retrainer.drifting import TrafficWatch
from fraud.retrainer.feeding import FeedWatch
from fraud.retrainer.looping import LoopWatch
from fraud.retrainer.probing import ProbingWatch
from fraud.retrainer.reacting import ReactionWatch
from fraud.retrainer.realised import QualityWatch
from fraud.retrainer.triggers import Alarm

_log = structlog.get_logger("fraud.retrainer.watching")


class Monitor:
    """All that watches, for one retraining process."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._loop = LoopWatch(shop.registry.store, shop.metrics, shop.settings.models)
        quality = QualityWatch(shop)
        probing = ProbingWatch(shop)
        self._reaction = ReactionWatch(shop, quality, probing)
        self._parts: dict[str, Callable[[], None]] = {
            "quality": quality.turn,
            "feeds": FeedWatch(shop).turn,
            "traffic": TrafficWatch(shop, quality.calibration).turn,
            "probing": probing.turn,
            "reaction": self._reaction.turn,
        }

    def observe(self) -> None:
        """Publish what the ledger says; cheap, for every turn."""
        self._guarded("loop", self._observe)

    def _observe(self) -> None:
        state = self._shop.state()
        self._loop.turn(state)
        self._reaction.observe(state)

    def alarms(self) -> tuple[Alarm, ...]:
        """Return what asks for an emergency retrain, as seen last."""
        return self._reaction.alarms()

    def frauds_after(self, model: str, after_us: int) -> int:
        """Return how many frauds of a model became known after a moment, µs UTC, as counted last."""
        return self._reaction.new_frauds.after(model, after_us)

    def turn(self, *, copied: bool = True) -> None:
        """Compute what is due; after a copy, while the archive's files are held in place.

        Where nothing was `copied` feeds wait: what is not there would read as their silence.
        """
        for part, turn in self._parts.items():
            if copied or part != "feeds":
                self._guarded(part, turn)

    def copy_failed(self) -> None:
        """Count a copy that failed, and compute what the archive as it stands still tells."""
        self._shop.metrics.failed("archive")
        self._guarded("archive", self._without_copy)

    def _without_copy(self) -> None:
        shop = self._shop
        with shop.archive.reading():
            shop.show_archived(shop.archive.position())
            self.turn(copied=False)

    def _guarded(self, part: str, turn: Callable[[], None]) -> None:
        try:
            turn()
        except Exception:  # noqa: BLE001 — figures may be late, the loop may not stop for them
            self._shop.metrics.failed(part)
            _log.exception("monitoring failed", part=part)
