"""Rebuilds feature state in a process of its own, so that scoring keeps its interpreter and its core.

view, position ─► child process: archive and log folded from the start ─► snapshot file ─► loaded here
"""

import multiprocessing
import os
import threading
from pathlib import Path

from fraud.archive.archive import Archive
from fraud.errors import Unavailable
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.fold import FeatureFold
from fraud.features.snapshot import NAME
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule
from fraud.serving.cores import use_all
from fraud.serving.recovery import rebuilt
from fraud.settings import Settings

NICENESS = 10


def rebuild_aside(settings: Settings, view: View, upto: int) -> FeatureFold:
    """Return a fold at a position that has seen the log through one view from its start.

    Takes some ten seconds per million transactions, and as much memory again
    as the state has.

    Raises:
        Unavailable: the child process died (out of memory?); nothing has changed.
        Damaged: entries are neither in the log nor in the archive.
    """
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_rebuild, args=(settings, view.to_text(), upto), name="rebuild")
    child.start()
    child.join()
    path = _folder(settings) / NAME.format(upto)
    try:
        if child.exitcode != 0:
            raise Unavailable(
                f"feature state was not rebuilt: the process that did it ended with status {child.exitcode}; "
                "its log says why, otherwise look at free memory"
            )
        return FeatureFold.load(path, FeatureSpec.of(settings), ConflictRule.of(settings.labels))
    finally:
        path.unlink(missing_ok=True)


def _folder(settings: Settings) -> Path:
    return settings.places.state / "aside"


def _rebuild(settings: Settings, view: str, upto: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_all()
    os.nice(NICENESS)
    spec = FeatureSpec.of(settings)
    log = SqliteEventLog.open(settings.places.log, writable=False, entity_names=settings.schema_.entity_names)
    try:
        archive = Archive(settings.places.archive, settings.schema_, spec.names)
        rule = ConflictRule.of(settings.labels)
        fold = rebuilt(spec, rule, log, archive, View.from_text(view), upto)
        fold.save(_folder(settings))
    finally:
        log.close()


def _end_with_parent() -> None:
    """End this process when the scorer that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
