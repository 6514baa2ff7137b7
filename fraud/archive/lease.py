"""Who uses the files of the archive, so that nobody deletes them underneath.

    shared      copies, reads, a whole retraining cycle: any number at once
    exclusive   deleting files that somebody may have begun to read: nobody else

An advisory lock (flock) on one file, which the kernel lets go when its holder
ends, however it ends. Deleting by age alone needs no lease: what is older than
any reader is nobody's.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fraud.errors import Unavailable

NAME = "files.lock"
_LOOK_EVERY_S = 0.05


class Lease:
    """The lease on one folder. Safe for threads and processes; may be nested when shared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Keep the files in place for the body of a `with`; waits while files are being deleted."""
        if not self._folder.is_dir():
            yield  # nothing is archived yet, so there is nothing that could go
            return
        with self._open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def exclusive(self, wait_s: float) -> Iterator[None]:
        """Keep everybody else out for the body of a `with`.

        Raises:
            Unavailable: others used the files for all of `wait_s`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + wait_s
        with self._open() as handle:
            while not _taken(handle):
                if time.monotonic() >= end:
                    raise Unavailable(
                        f"{self._folder}: a retrain or a copy reads the archive; its old files are deleted "
                        "when that is done"
                    )
                time.sleep(_LOOK_EVERY_S)
            yield

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        try:
            handle = os.open(self._folder / NAME, os.O_RDONLY | os.O_CREAT, 0o644)
        except OSError as error:
            raise Unavailable(
                f"{self._folder / NAME}: cannot be opened ({error}); check permissions"
            ) from error
        try:
            yield handle
        finally:
            os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
