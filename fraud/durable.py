"""Makes what stands at a path durable: a file's content, or which names a folder holds."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk, whoever wrote it.

    Raises:
        OSError: it cannot be; `filename` says what.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)
