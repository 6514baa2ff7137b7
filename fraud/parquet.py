"""Opens Parquet of strangers: one whom nobody misses reads it first.

    file ─▶ child decodes every batch and forgets it ─┬─ a signal ended it ─▶ InvalidInput
                                                      └─ else ─▶ scan, whose errors are Python's

A made-up file can make Polars ask for 2 EiB, upon which Rust ends the process and no `except` helps. Reading
twice costs a start of Python and 0.2 s for a million rows; a batch is held at a time.
"""

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fraud.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

ROWS_MAX = 2**32
"""Polars counts no more rows than that."""


def scan_parquet(path: Path, rows_max: int = ROWS_MAX) -> "pl.LazyFrame":
    """Open a Parquet file, after a child process has read all of it; one of more than `rows_max` rows unread.

    Raises:
        InvalidInput: to read it ends a process; the message names the signal.
        polars.exceptions.PolarsError, polars.exceptions.PanicException: it is not Parquet (or so may the
            frame when it is collected).
    """
    import polars as pl

    tried = subprocess.run(
        [sys.executable, "-m", "fraud.parquet", path.absolute(), str(rows_max)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if tried.returncode < 0:
        ended = signal.Signals(-tried.returncode).name
        raise InvalidInput(
            str(path),
            f"a process that reads it is ended ({ended})",
            "it is damaged or made up, or larger than memory; write it again, or as CSV",
        )
    return pl.scan_parquet(path, glob=False)


def main(path: str, rows_max: str) -> None:
    """Decode all of a file; what Python hears of, and too many rows, are for the parent to find."""
    import polars as pl

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    frame = pl.scan_parquet(path, glob=False)
    if frame.select(pl.len()).collect().item() <= int(rows_max):
        frame.sink_batches(lambda _: None)


if __name__ == "__main__":
    main(*sys.argv[1:3])
