"""Folders that benchmarks work in: under `build/`, on the disk of the checkout, emptied first.

A temporary folder may lie in memory, where a durable log costs nothing.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import REPOSITORY


@contextmanager
def workspace(name: str, folder: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder and remove it afterwards; it stays when the block fails."""
    place = (folder or REPOSITORY / "build" / "benchmarks").resolve() / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    yield place
    shutil.rmtree(place, ignore_errors=True)
