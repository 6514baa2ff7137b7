"""Which format an archive has: one small file beside its tables.

    archive/format.json   {"format": 1}

Delta names the protocol of its files by itself; this is about our tables and
columns. An archive without the file is of format 1: the first ones had none.
"""

import json
import os
import tempfile
from pathlib import Path

from fraud.archive.syncing import sync_files
from fraud.documents import read_json
from fraud.errors import Damaged, OtherFormat

NAME = "format.json"
FORMAT = 1


def format_of(folder: Path) -> int:
    """Return the format of the archive in `folder`; 1 where nothing is said.

    Raises:
        Damaged: the file does not say.
    """
    path = folder / NAME
    try:
        return int(read_json(path.read_text(encoding="utf-8"))["format"])
    except FileNotFoundError:
        return 1
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise Damaged(f"{path}: cannot be read ({error!r}); restore it from a copy") from error


def check_format(folder: Path) -> None:
    """Assert that this release reads the archive in `folder`.

    Raises:
        OtherFormat: it does not.
        Damaged: it does not say.
    """
    found = format_of(folder)
    if found != FORMAT:
        raise OtherFormat(str(folder), "archive", found, FORMAT)


def mark(folder: Path, number: int = FORMAT) -> None:
    """Write the format down, atomically and durably; the folder must be there.

    Raises:
        OSError: it cannot be written.
    """
    # A draft of its own for each caller: threads of one process may begin an archive together.
    handle, draft = tempfile.mkstemp(prefix=f".{NAME}.", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"format": number}, file)
        file.flush()
        os.fsync(file.fileno())
    Path(draft).replace(folder / NAME)
    sync_files([folder / NAME])
