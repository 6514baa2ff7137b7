"""One file per snapshot of feature state: arrays and a header, no pickle.

    features-<position>.npz = header (JSON: format, fingerprint, rule, position)
                            + book (JSON: labels that can still change state)
                            + arrays of the rows in use

Written beside its place, made durable, then renamed, so a file of that name is
whole. Every array carries a CRC-32 of its own (the zip container's).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.arrays import read_arrays
from fraud.documents import read_json
from fraud.durable import sync
from fraud.errors import Damaged, OtherFormat

NAME = "features-{:020d}.npz"
FORMAT = 1
"""Stands in the header. A snapshot of another format is left aside, and the state folded from the log."""


def write(folder: Path, position: int, notes: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write a snapshot atomically and durably; return its path. `notes` hold JSON values."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / NAME.format(position)
    draft = place.with_suffix(f".{os.getpid()}.tmp")
    columns = {name: np.frombuffer(json.dumps(note).encode(), np.uint8) for name, note in notes.items()}
    try:
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns, **dict(arrays))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    sync(folder)
    return place


def read(path: Path, notes: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the notes of these names and the other arrays.

    Raises:
        Damaged: the file is not what `write` wrote.
    """
    try:
        arrays = read_arrays(path)
        found = {name: _note(name, arrays.pop(name)) for name in notes}
    except (OSError, ValueError, KeyError) as error:
        raise Damaged(
            f"feature snapshot {path.name}: cannot be read ({error}); delete it and restore from an older one"
        ) from error
    return found, arrays


def _note(name: str, array: NDArray[Any]) -> dict[str, Any]:
    note = read_json(array.tobytes())
    if not isinstance(note, dict):
        raise ValueError(f"{name} is no JSON object")
    return note


def check_format(path: Path, header: Mapping[str, Any]) -> None:
    """Assert that this release reads a snapshot with this header.

    Raises:
        OtherFormat: it does not.
    """
    found = header.get("format", 1)  # the first snapshots did not say
    if not isinstance(found, int):
        raise Damaged(f"feature snapshot {path.name}: format {found!r} is no number; delete it")
    if found != FORMAT:
        raise OtherFormat(path.name, "feature snapshot", found, FORMAT)
