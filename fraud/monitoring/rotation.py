"""Files that are replaced one after the other: for a moment a certificate and its key do not fit.

    read ─► they fit: go on     ─► they do not: look again, for a few seconds ─► wrong for good

A service that begins in that moment must not end as if its configuration were wrong.
One that runs notes the `Stamp` it looked at before it reads, whether what it read fits or
not: a file that comes while it reads has another one, and is read the next time.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from fraud.errors import ConfigError

SETTLE_S: Final = 3.0
"""Whoever renews a certificate writes its files within a moment."""
_LOOK_S: Final = 0.05

Content = TypeVar("Content")
Stamp: TypeAlias = tuple[tuple[int, ...], ...]
"""The state that files are in: another one when a file, its rights or its owner have changed."""


def stamp_of(files: Iterable[Path]) -> Stamp:
    """Return the state of files, in order; one that cannot be looked at has one, too."""
    return tuple(map(_state_of, files))


def _state_of(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError as error:
        return (error.errno or -1,)
    # The time of the inode: rights and owner change neither content nor its time.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def settled(
    read: Callable[[], Content],
    within_s: float = SETTLE_S,
    *,
    now_s: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Content:
    """Return what `read` returns; while files do not fit, look again for at most `within_s` seconds.

    Raises:
        ConfigError: they still do not.
    """
    end_s = now_s() + within_s
    while True:
        try:
            return read()
        except ConfigError:
            if now_s() >= end_s:
                raise
        wait(_LOOK_S)
