"""Rebuilds feature state in a process of its own, so that scoring keeps its interpreter and its core.

view, position ─► child process: archive and log folded from the start ─► snapshot file ─► loaded here
               ─► caught up with what the log holds by then ─► there for whoever asks next
"""

import multiprocessing
import os
import shutil
import threading
from concurrent.futures import Future
from multiprocessing.process import BaseProcess
from pathlib import Path

from fraud.archive.archive import Archive
from fraud.errors import Unavailable
from fraud.eventlog.folder import open_log
from fraud.eventlog.log import EventLog
from fraud.faults import pass_point
from fraud.features.archive import open_archive
from fraud.features.fold import FeatureFold
from fraud.features.snapshot import NAME
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule
from fraud.serving.cores import use_all
from fraud.serving.recovery import catch_up, rebuilt
from fraud.settings import Settings

NICENESS = 10
TAIL_EVENTS = 2_000
"""Events that are left to whoever takes the state over; the scoring thread folds them in some 50 ms."""


class Rebuild:
    """State on its way to one view, on a thread that begins at once; one at a time per data folder.

    Takes some ten seconds per million transactions, and as much memory again
    as the state has.
    """

    def __init__(self, settings: Settings, view: View, log: EventLog, archive: Archive) -> None:
        self.view = view
        self.stopped = False
        self._settings = settings
        self._log = log
        self._archive = archive
        self._child: BaseProcess | None = None
        self._starting = threading.Lock()
        self._fold: Future[FeatureFold] = Future()
        self._thread = threading.Thread(target=self._work, name="rebuild", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """True when state is there, or will never be."""
        return self._fold.done()

    def fold(self) -> FeatureFold:
        """Return state that lies behind the log by `TAIL_EVENTS` and what came since; waits for it.

        Raises:
            Unavailable: the child process died (out of memory?) or was stopped.
            Damaged: entries are neither in the log nor in the archive.
        """
        return self._fold.result()

    def stop(self) -> None:
        """End the child process and give up, without waiting; from any thread."""
        with self._starting:
            self.stopped = True
            if self._child is not None:
                self._child.kill()

    def join(self) -> None:
        """Wait until neither log nor archive is read any more."""
        self._thread.join()

    def _work(self) -> None:
        try:
            fold = self._rebuilt()
            while self._log.head() - fold.position > TAIL_EVENTS and not self.stopped:
                catch_up(fold, self._log, self._archive, self._log.head(), follow=False)
        except BaseException as error:  # noqa: BLE001 — told to whoever asks for the fold
            self._fold.set_exception(error)
        else:
            self._fold.set_result(fold)

    def _rebuilt(self) -> FeatureFold:
        settings, upto = self._settings, self._log.head()
        folder = _folder(settings)
        shutil.rmtree(folder, ignore_errors=True)  # what one that was ended has left
        arguments = (settings, self.view.to_text(), upto)
        child = multiprocessing.get_context("spawn").Process(target=_rebuild, args=arguments, name="rebuild")
        with self._starting:
            if self.stopped:
                raise Unavailable("told to stop before feature state was rebuilt; nothing has changed")
            child.start()
            self._child = child
        child.join()
        try:
            if child.exitcode != 0:
                raise Unavailable(
                    f"feature state was not rebuilt: the process that did it ended with status "
                    f"{child.exitcode}; its log says why, otherwise look at free memory"
                )
            path = folder / NAME.format(upto)
            return FeatureFold.load(path, FeatureSpec.of(settings), ConflictRule.of(settings.labels))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _folder(settings: Settings) -> Path:
    return settings.places.state / "aside"


def _rebuild(settings: Settings, view: str, upto: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_all()
    os.nice(NICENESS)
    pass_point("rebuild.begun")
    spec = FeatureSpec.of(settings)
    log = open_log(settings)
    try:
        archive = open_archive(settings)
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
