"""One scorer per data folder, kept by an advisory lock that dies with its holder.

    data_dir/scorer.lock   flock(2) held for the life of the process; its text is the holder's pid

The kernel releases the lock when the process ends, however it ends, so there
is no stale lock to clean up. The file itself stays.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraud.errors import DataFolderLocked

LOCK_NAME = "scorer.lock"


@contextmanager
def lock_data_folder(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for the body of a `with`; the folder is made when missing.

    Raises:
        DataFolderLocked: another process holds it; the message names its pid.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / LOCK_NAME
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise DataFolderLocked(
                f"{data_dir}: process {holder} is already scoring from this folder; "
                "stop it first, or give this one its own data_dir"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
