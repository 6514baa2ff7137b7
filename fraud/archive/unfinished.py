"""Files that a writer was killed at: written aside, and never given their name. Delta does not list them."""

import contextlib
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

UNFINISHED: Final = timedelta(days=1)
"""Such a file may still get its name within this time."""
_ASIDE = re.compile(r"#\d+$")
"""How their names end (`object_store`, its store of local files)."""


def unfinished(folder: Path, age: timedelta) -> list[Path]:
    """Return those below a folder that are so old at least."""
    before_s = time.time() - age.total_seconds()
    found = []
    for path in folder.rglob("*#*"):
        # One that is at work gives its file its name meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if _ASIDE.search(path.name) and path.stat().st_mtime <= before_s:
                found.append(path)
    return sorted(found)
