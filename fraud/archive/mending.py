"""Sets aside what a power cut tore: the newest commits of a table, where they never wholly reached the disk.

    N          whole: its lines parse, and the files it adds are there at their full size
    N+1        torn or missing ─► what is there of it and whatever came after is renamed to *.torn
    N+1.check… torn   ─► the same; an earlier checkpoint and the commits since say as much

Commits are synced when they are made, and nobody relies on one before, so what is
torn held nothing that the log does not hold still: it is copied anew. Without a power
cut no commit is ever torn, since each comes into its place whole.
"""

import errno
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from fraud.documents import read_json

LOG = "_delta_log"
TAIL: Final = 8
"""Newest commits that are looked at. Each writer syncs its own before the next; there are two or three."""
_MAGIC: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class _Commit:
    path: Path
    actions: list[dict[str, Any]] | None
    """None where the lines do not parse."""

    @property
    def version(self) -> int:
        return version_of(self.path)

    def named(self, action: str) -> dict[str, int]:
        """Return the files that an action ("add" or "remove") names, with their sizes."""
        return {
            unquote(it[action]["path"]): it[action].get("size") or 0
            for it in self.actions or ()
            if action in it
        }


def version_of(path: Path) -> int:
    """Return the version that a file of a table's log is about, -1 for none."""
    return int(path.name[:20]) if path.name[:20].isdigit() else -1


def added_by(path: Path) -> list[str]:
    """Return the names of the data files that a commit adds; one that is unreadable or gone adds none."""
    try:
        return list(_read(path).named("add"))
    except FileNotFoundError:
        return []


def mend(folder: Path) -> list[Path]:
    """Set aside the torn end of the table in `folder`; return what was renamed."""
    log = folder / LOG
    while True:
        try:
            commits = [_read(path) for path in _commits(log)[-TAIL:]]
        except FileNotFoundError:
            continue  # gone since it was listed: Delta cleans up what a checkpoint stands for
        checkpoints = [path for path in log.glob("*.checkpoint*.parquet") if not _has_footer(path)]
        torn = _first_torn(folder, commits)
        gap = _first_gap(log, commits)
        if gap is not None and (torn is None or gap < torn):
            torn = gap
        if torn is None and not checkpoints:
            return []
        # Somebody may have moved files on while we looked; a torn end never moves by itself.
        if commits and _commits(log)[-1] != commits[-1].path:
            continue
        if torn is not None:
            checkpoints += [it for it in log.glob("*.checkpoint*.parquet") if version_of(it) >= torn]
        later = [it.path for it in commits if torn is not None and it.version >= torn]
        pointers = [log / "_last_checkpoint"] if checkpoints else []
        # From the newest down: a crash in between leaves no gap.
        return [path for path in (*pointers, *sorted(set(checkpoints)), *reversed(later)) if _aside(path)]


def _commits(log: Path) -> list[Path]:
    return sorted(path for path in log.glob("*.json") if version_of(path) >= 0)


def _read(path: Path) -> _Commit:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        actions = [read_json(line) for line in lines if line]
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return _Commit(path, None)
    return _Commit(path, actions if all(map(_is_action, actions)) else None)


def _is_action(value: object) -> bool:
    """Tell whether Delta may have written this line, as far as it is looked at here."""
    if not isinstance(value, dict):
        return False
    files = [value[name] for name in ("add", "remove") if name in value]
    return all(
        isinstance(it, dict) and isinstance(it.get("path"), str) and isinstance(it.get("size"), int | None)
        for it in files
    )


def _first_torn(folder: Path, commits: list[_Commit]) -> int | None:
    removed: set[str] = set()
    torn = None
    for commit in reversed(commits):
        added = commit.named("add")
        whole = bool(commit.actions) and all(
            _size(folder / name) >= size for name, size in added.items() if name not in removed
        )
        removed |= commit.named("remove").keys()
        torn = torn if whole else commit.version
    return torn


def _first_gap(log: Path, commits: list[_Commit]) -> int | None:
    """Return the first version without the one before it, where no checkpoint stands for that."""
    whole = [version_of(path) for path in log.glob("*.checkpoint*.parquet") if _has_footer(path)]
    versions = [commit.version for commit in commits]
    lacking = [after for before, after in pairwise(versions) if after - 1 > max(before, *whole, -1)]
    return min(lacking, default=None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no name of a file, with a null byte in it
        return -1
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return -1
        raise


def _has_footer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(max(0, _size(path) - len(_MAGIC)))
            return file.read() == _MAGIC
    except FileNotFoundError:
        return True


def _aside(path: Path) -> bool:
    try:
        path.rename(path.with_name(f"{path.name}.torn"))
    except FileNotFoundError:
        return False
    return True
