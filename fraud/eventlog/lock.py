"""One scorer and one retrainer per data folder, kept by advisory locks that die with their holders.

    data_dir/scorer.lock, retrainer.lock   flock(2) held for the life of the process; the text is its pid

The kernel releases the lock when the process ends, however it ends, so there
is no stale lock to clean up. The file itself stays.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from fraud.durable import make_above, sync
from fraud.errors import DataFolderLocked

Role = Literal["scorer", "retrainer"]
_REMEDIES: dict[Role, str] = {
    "scorer": "stop it first, or give this one its own data_dir",
    "retrainer": "ask it with 'fraud retrain', or stop it first",
}


@contextmanager
def lock_data_folder(data_dir: Path, role: Role = "scorer") -> Iterator[None]:
    """Hold the data folder in one role for the body of a `with`.

    A missing folder is made, for its owner's eyes only.

    Raises:
        DataFolderLocked: another process has that role; the message names its pid.
    """
    if not data_dir.is_dir():
        make_above(data_dir)
        data_dir.mkdir(exist_ok=True, mode=0o700)
        sync(data_dir.parent)
    path = data_dir / f"{role}.lock"
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise locked_by(data_dir, role, file.read().strip()) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder_of(data_dir: Path, role: Role) -> str | None:
    """Return the process id of who has a role, "" where it is not known, None for nobody; nothing is written.

    Raises:
        OSError: the lock cannot be looked at.
    """
    path = data_dir / f"{role}.lock"
    if not path.exists():
        return None
    with path.open(encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip()
    return None


def locked_by(data_dir: Path, role: Role, holder: str) -> DataFolderLocked:
    """Return the error for who wants a role that process `holder` has."""
    return DataFolderLocked(
        f"{data_dir}: process {holder or 'unknown'} is the {role} of this folder already; {_REMEDIES[role]}"
    )
