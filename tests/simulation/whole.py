"""Between the service and the files that it writes whole: bundles, snapshots, and what lies beside these.

Path.open("wb") ─► io.open ─► ours below the buffer: asks before each write that reaches the system
tempfile.mkdtemp ─► a folder with a number for a name, so that a seed names it alike each time
"""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

BUFFER_BYTES = 1 << 20
"""What a file is told before that is one write: small files are one change of the disk."""
Ask = Callable[[Path, Callable[[float], object]], None]
"""Raises OSError where a write must fail; calls what it is given with the share that still happens."""


class _File(io.FileIO):
    """A file open for writing, each write of which is asked for."""

    def __init__(self, path: Path, mode: str, ask: Ask) -> None:
        super().__init__(path, mode)
        self._path = path
        self._ask = ask

    def write(self, data: Any, /) -> int:
        content, write = bytes(data), super().write
        self._ask(self._path, lambda share: write(content[: int(len(content) * share)]))
        return write(content)


@contextmanager
def standing_between(covers: Callable[[Path], bool], ask: Ask) -> Iterator[None]:
    """Let writes to the files that `covers` tells of be asked for, for the body of a `with`."""
    opened, made = io.open, tempfile.mkdtemp
    numbers = count(1)

    def open_(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **given: Any) -> IO[Any]:
        whole = bool(set(mode) & set("wxa")) and "+" not in mode and isinstance(file, str | os.PathLike)
        if not whole or not covers(Path(file)):
            return opened(file, mode, buffering, *args, **given)
        raw = _File(Path(file), mode.replace("b", "").replace("t", ""), ask)
        buffered = io.BufferedWriter(raw, BUFFER_BYTES)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **given)

    def make(suffix: str | None = None, prefix: str | None = None, dir: Any = None) -> str:  # noqa: A002
        if dir is None or not covers(Path(dir)):
            return made(suffix, prefix, dir)
        place = Path(dir) / f"{prefix or ''}{next(numbers):08d}{suffix or ''}"
        place.mkdir(mode=0o700)
        return str(place)

    io.open, tempfile.mkdtemp = open_, make  # type: ignore[assignment]
    try:
        yield
    finally:
        io.open, tempfile.mkdtemp = opened, made
