"""Makes what stands at a path durable: a file's content, or which names a folder holds."""

import os
from pathlib import Path


class NotSynced(OSError):
    """A sync was tried and failed: what was written may be dropped, and a second one would not say so."""


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk, whoever wrote it.

    Raises:
        NotSynced: it is not, and may never be.
        OSError: nothing was tried, because it cannot be opened. In both `filename` says what.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        raise NotSynced(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(handle)


def sync_folders(top: Path) -> None:
    """Wait until the names that a folder and all below it hold are on the disk, the deepest first.

    What the files hold is their writers' business.

    Raises:
        OSError: it cannot be; `filename` says what.
    """
    for folder, _, _ in os.walk(top, topdown=False):
        sync(Path(folder))


def make_above(path: Path) -> None:
    """Make the folders above a path that are missing, durably.

    Raises:
        OSError: one cannot be made or synced.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)
