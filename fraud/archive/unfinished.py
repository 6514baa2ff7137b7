"""Files that a writer was killed at: written aside, and never given their name. Delta does not list them."""

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
    return [
        path for path in folder.rglob("*#*") if _ASIDE.search(path.name) and path.stat().st_mtime <= before_s
    ]
