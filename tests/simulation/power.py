"""What a power cut leaves of files: what was synced for certain, of the rest anything.

    write ─► page cache (the file as everybody reads it) ─► sync ─► durable image
    cut   ─► durable image + of the writes since, each: kept, lost, or torn at a sector

Two books are kept, because two kinds of writers are below the service. `Pages`
follows files that are written in place, by offset (SQLite's). `Tree` follows
folders whose files are written whole and renamed (bundles, snapshots): contents
are durable when the file was synced, names when its folder was.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Change:
    """A write at `offset`, or (`data` None) the file cut to `offset` bytes."""

    offset: int
    data: bytes | None


@dataclass(slots=True)
class Pages:
    """Files written in place, by path."""

    durable: dict[str, bytearray] = field(default_factory=dict)
    waiting: dict[str, list[Change]] = field(default_factory=dict)

    def opened(self, path: str) -> None:
        """Take a file as it stands, when it was not seen before."""
        if path not in self.durable:
            place = Path(path)
            self.durable[path] = bytearray(place.read_bytes() if place.exists() else b"")
            self.waiting[path] = []

    def synced(self, path: str) -> None:
        """Everything written so far is durable."""
        for change in self.waiting[path]:
            _make(self.durable[path], change)
        self.waiting[path] = []

    def deleted(self, path: str) -> None:
        """The file is gone, for good at once."""
        self.durable.pop(path, None)
        self.waiting.pop(path, None)

    def lose(self, path: str) -> None:
        """A sync failed: the system drops what it could not write, and will not try again."""
        self.waiting[path] = []

    def cut(self, random: Random) -> None:
        """Leave what a power cut may leave; nobody has the files open."""
        for path, image in self.durable.items():
            kept = random.choice((0.0, 0.5, 0.9))
            for change in self.waiting[path]:
                for part in _sectors(change) if random.random() < 0.3 else (change,):
                    if random.random() < kept:
                        _make(image, part)
            self.waiting[path] = []
            Path(path).write_bytes(image)


def _make(image: bytearray, change: Change) -> None:
    if change.data is None:
        del image[change.offset :]
        return
    image.extend(bytes(max(0, change.offset - len(image))))
    image[change.offset : change.offset + len(change.data)] = change.data


def _sectors(change: Change) -> list[Change]:
    if change.data is None:
        return [change]
    data, first = change.data, SECTOR - change.offset % SECTOR
    starts = [0, *range(first, len(data), SECTOR)]
    ends = [*starts[1:], len(data)]
    return [Change(change.offset + start, data[start:end]) for start, end in zip(starts, ends, strict=True)]


@dataclass(slots=True)
class _Held:
    """A synced file: a handle, so that its number is not given away again, and its bytes then."""

    handle: int
    content: bytes


class Tree:
    """Folders of whole files; the names in `root` itself and all below the folders called `below`."""

    def __init__(self, root: Path, below: tuple[str, ...]) -> None:
        self._root = root
        self._below = below
        self._files: dict[int, _Held] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._folders: dict[int, int] = {}

    def covers(self, path: Path) -> bool:
        """Tell whether a path is one of ours."""
        return path == self._root or any(path.is_relative_to(self._root / name) for name in self._below)

    def synced(self, handle: int) -> None:
        """Take note that a file or folder is durable as it stands."""
        path = Path(f"/proc/self/fd/{handle}").readlink()
        number = os.fstat(handle).st_ino
        if path.is_dir():
            self._names[number] = {entry.name: entry.stat().st_ino for entry in path.iterdir()}
            # A handle here too: a folder made later must not be taken for one that is gone.
            if number not in self._folders:
                self._folders[number] = os.dup(handle)
            return
        former = self._files.get(number)
        held = _Held(os.dup(handle) if former is None else former.handle, path.read_bytes())
        self._files[number] = held

    def settle(self) -> None:
        """Take everything that stands as durable, as after a mount."""
        self.forget()
        folders = [self._root]
        for name in self._below:
            place = self._root / name
            folders += [place, *(path for path in sorted(place.rglob("*")) if path.is_dir())]
            for path in (path for path in sorted(place.rglob("*")) if path.is_file()):
                self._sync(path)
        for folder in folders:
            if folder.is_dir():
                self._sync(folder)

    def forget(self) -> None:
        """Let every handle go."""
        for handle in (*(held.handle for held in self._files.values()), *self._folders.values()):
            os.close(handle)
        self._files, self._names, self._folders = {}, {}, {}

    def cut(self, random: Random) -> None:
        """Leave what a power cut may leave."""
        durable = self._names.get(self._root.stat().st_ino, {})
        for name in self._below:
            place = self._root / name
            if not place.is_dir():
                continue
            if durable.get(name) != place.stat().st_ino and random.random() < 0.5:
                shutil.rmtree(place)
            else:
                self._cut_folder(place, random)
        self.settle()

    def _cut_folder(self, folder: Path, random: Random) -> None:
        durable = self._names.get(folder.stat().st_ino, {})
        for path in sorted(folder.iterdir()):
            if durable.get(path.name) != path.stat().st_ino and random.random() < 0.5:
                _remove(path)
            elif path.is_dir():
                self._cut_folder(path, random)
            else:
                path.write_bytes(self._left_of(path, random))
        for name, number in sorted(durable.items()):
            if not (folder / name).exists() and number in self._files and random.random() < 0.5:
                (folder / name).write_bytes(self._files[number].content)

    def _left_of(self, path: Path, random: Random) -> bytes:
        content, held = path.read_bytes(), self._files.get(path.stat().st_ino)
        if held is not None:
            return random.choice((held.content, content))
        upto = random.randrange(len(content) + 1)
        return random.choice((content, content[:upto], bytes(len(content)), b""))

    def _sync(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            self.synced(handle)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
