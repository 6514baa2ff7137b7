"""Rebuilds feature state in a process of its own, so that scoring keeps its interpreter and its core.

view, position ─► child process: archive and log folded from the start ─► snapshot file ─► loaded here
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from fraud.archive.archive import Archive
from fraud.errors import Unavailable
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule
from fraud.serving.recovery import rebuilt
from fraud.settings import Settings

NICENESS = 10


def rebuild_aside(settings: Settings, view: View, upto: int) -> FeatureFold:
    """Return a fold at a position that has seen the log through one view from its start.

    Takes about five seconds per million transactions, and as much memory again
    as the state has.

    Raises:
        Unavailable: the child process died (out of memory?); nothing has changed.
        Damaged: entries are neither in the log nor in the archive.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            path = pool.submit(_rebuild, settings, view.to_text(), upto).result()
        except BrokenProcessPool as error:
            raise Unavailable(
                "feature state was not rebuilt: the process that did it died; look at free memory"
            ) from error
    try:
        return FeatureFold.load(path, FeatureSpec.of(settings), ConflictRule.of(settings.labels))
    finally:
        path.unlink(missing_ok=True)


def _rebuild(settings: Settings, view: str, upto: int) -> Path:
    os.nice(NICENESS)
    spec = FeatureSpec.of(settings)
    log = SqliteEventLog.open(settings.places.log, writable=False, entity_names=settings.schema_.entity_names)
    try:
        archive = Archive(settings.places.archive, settings.schema_, spec.names)
        rule = ConflictRule.of(settings.labels)
        fold = rebuilt(spec, rule, log, archive, View.from_text(view), upto)
        return fold.save(settings.places.state / "aside")
    finally:
        log.close()
