"""Makes files of a table durable: Delta writes them, and leaves it to the system when they reach the disk.

    what a version names ─► its data files, its log up to it ─► fsync each ─► fsync their folders

A sync is about the file, not about who wrote it, so any process may do it for
another. What was synced once is not synced again: a commit costs its own files.
"""

from collections.abc import Iterable
from pathlib import Path

from fraud.durable import NotSynced, sync


class Syncing:
    """What this process has synced of one table."""

    def __init__(self) -> None:
        self._done: frozenset[Path] = frozenset()
        self._lately: frozenset[Path] = frozenset()
        self._failed = ""

    def sync(self, files: Iterable[Path], *, whole: bool) -> None:
        """Sync those of `files` that were not yet; `whole`: they are all that a version names.

        Raises:
            FileNotFoundError: one is gone; a later version may not name it any more.
            NotSynced: the sync of one failed, now or earlier. What the system has dropped, a
                second sync would not bring back and not report; so it fails until a restart.
            OSError: one cannot be opened now.
        """
        if self._failed:
            raise NotSynced(f"{self._failed} could not be synced earlier")
        named = dict.fromkeys(files)
        try:
            sync_files(path for path in named if path not in self._done and path not in self._lately)
        except NotSynced as error:
            self._failed = str(error.filename)
            raise
        # What no version names any more is forgotten, so that neither grows.
        self._lately = frozenset(named)
        if whole:
            self._done = self._lately


def sync_files(files: Iterable[Path]) -> None:
    """Sync files in the order given, then the folders they stand in and those above.

    Raises:
        NotSynced, OSError: as `sync`; `filename` says which.
    """
    given = list(files)
    # The folder above, too: the first commit makes the table's own folders.
    folders = {folder for file in given for folder in (file.parent, file.parent.parent)}
    for path in (*given, *sorted(folders, reverse=True)):
        sync(path)
