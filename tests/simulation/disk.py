"""The disk below the service: every write and sync is counted, and may fail, be torn, or be the last.

fault      what happens, from the n-th change on
crash      the process stops there: the change is torn, nothing after it happens
full       no room for any further write, until the fault is lifted
write      one write fails
sync       one sync fails, and what it should have made durable is lost
slow       every sync takes seconds of the simulated clock
ledger     the ledger's file can be neither read, written nor opened

A fault may be aimed at one store (`where`): it waits for a change there, and only a full disk and a
crash go on from there to the others.
Of a file that is written whole, a part is there after a write that failed.
"""

import errno
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal, get_args

from tests.simulation.power import Change, Pages, Tree
from tests.simulation.whole import standing_between

Kind = Literal["crash", "full", "write", "sync", "slow", "ledger"]
KINDS: tuple[Kind, ...] = ("crash", "full", "write", "sync", "slow", "ledger")
AIMED: tuple[Kind, ...] = ("crash", "full", "write", "sync")
"""Those that may be aimed at a store."""
OK, IOERR, FULL, CANTOPEN = 0, 10, 13, 14
IOERR_READ, IOERR_WRITE, IOERR_FSYNC = 266, 778, 1034
SLOW_US = 2_000_000
FOLDERS = ("bundles", "state")
Store = Literal["events", "registry", "archive", "bundles", "state"]
STORES: tuple[Store, ...] = get_args(Store)
"""What the data folder holds, by the beginning of its names."""
RETRAINER = "retrainer"
"""Threads whose name begins like this are those of the retraining process."""
Begin = Callable[[float], object]
"""Does a share of a write, after which it fails."""


@dataclass(slots=True)
class Fault:
    """A fault that is on; `after` changes still pass, and all outside the store `where` ("": any store)."""

    kind: Kind
    after: int = 0
    torn: float = 0.5
    """Share of the last write that still happens."""
    where: Store | Literal[""] = ""


class Disk:
    """The files of one data folder."""

    def __init__(self, root: Path, pass_time: Callable[[int], None]) -> None:
        self.root = root
        self.pages = Pages()
        self.tree = Tree(root, FOLDERS)
        self.fault: Fault | None = None
        self.frozen: set[str] = set()
        self.struck: Counter[str] = Counter()
        """Faults that took effect, by kind, and by kind and what of the data folder they hit."""
        self.watching = False
        """True while the simulation itself reads or writes: no fault is for it."""
        self._pass_time = pass_time
        self._fsync = os.fsync
        self._kept = Path(tempfile.mkdtemp(prefix="simulation-"))

    @contextmanager
    def below(self) -> Iterator[None]:
        """Stand between the service's whole files and the system for the body of a `with`."""
        os.fsync = self.fsync  # type: ignore[assignment]
        try:
            with standing_between(self.tree.covers, partial(self.step, "write")):
                yield
        finally:
            os.fsync = self._fsync
            self.tree.forget()
            shutil.rmtree(self._kept, ignore_errors=True)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let everything pass for the body of a `with`."""
        self.watching = True
        try:
            yield
        finally:
            self.watching = False

    def owner(self) -> str:
        """Return the process that the calling thread belongs to."""
        return RETRAINER if threading.current_thread().name.startswith(RETRAINER) else "scorer"

    def permit(
        self, kind: Literal["write", "sync"], path: str, owner: str, begin: Begin = lambda _: None
    ) -> int:
        """Return OK or the code of what goes wrong with a change; a crash freezes its process.

        `begin` does a part of a write that then fails, or is the last.
        """
        if self.watching:
            return OK
        if owner in self.frozen:
            return IOERR
        fault = self.fault
        if fault is None:
            return OK
        if fault.kind == "slow":
            if kind == "sync":
                self._pass_time(SLOW_US)
                self._note(fault, path)
            return OK
        if fault.kind == "ledger":
            return self._hit(fault, path, IOERR_WRITE) if "registry" in path else OK
        if fault.where and self._store(path) != fault.where:
            return OK
        if fault.after > 0:
            fault.after -= 1
            return OK
        return self._strike(fault, kind, path, owner, begin)

    def _strike(self, fault: Fault, kind: str, path: str, owner: str, begin: Begin) -> int:
        match fault.kind:
            case "crash":
                begin(fault.torn)
                self.freeze(owner)
                return self._hit(fault, path, IOERR)
            case "full" if kind == "write":
                begin(fault.torn)
                return self._hit(fault, path, FULL)
            case "write" if kind == "write":
                begin(fault.torn)
                self.fault = None
                return self._hit(fault, path, IOERR_WRITE)
            case "sync" if kind == "sync":
                self.fault = None
                return self._hit(fault, path, IOERR_FSYNC)
            case _:
                return OK

    def _hit(self, fault: Fault, path: str, code: int) -> int:
        self._note(fault, path)
        fault.where = ""
        return code

    def _note(self, fault: Fault, path: str) -> None:
        self.struck.update((fault.kind, f"{fault.kind}: {self._store(path)}"))

    def _store(self, path: str) -> str:
        parts = Path(path).relative_to(self.root).parts
        return parts[0].partition(".")[0] if parts else "."

    def readable(self, path: str, owner: str) -> bool:
        """Tell whether a file can be read now."""
        if self.watching:
            return True
        if owner in self.frozen:
            return False
        if self.fault is not None and self.fault.kind == "ledger" and "registry" in path:
            self._note(self.fault, path)
            return False
        return True

    def freeze(self, owner: str) -> None:
        """Let nothing that a process does from here on reach the disk."""
        if self.frozen:
            self.frozen.add(owner)
            return
        self.frozen.add(owner)
        # Whole files are moved and deleted past us, so what stands now is put back when the process is gone.
        for name in FOLDERS:
            if (self.root / name).is_dir():
                _copy(self.root / name, self._kept / name)

    def thaw(self, random: Random, *, power: bool) -> None:
        """Bring the files to where a dead process left them; `power`: and the machine with it."""
        for name in FOLDERS:
            if self.frozen and (self._kept / name).is_dir():
                self._put_back(name)
        self.frozen = set()
        self.fault = None
        if power:
            self.pages.cut(random)
            self.tree.cut(random)
            for path in self.root.glob("*-shm"):
                path.unlink()

    def _put_back(self, name: str) -> None:
        """Undo what was changed after a freeze; files that stayed the same keep what was noted of them."""
        kept, place = self._kept / name, self.root / name
        for path in sorted(place.rglob("*"), reverse=True):
            if not (kept / path.relative_to(place)).exists():
                path.rmdir() if path.is_dir() else path.unlink()
        for path in sorted(kept.rglob("*")):
            there = place / path.relative_to(kept)
            if path.is_dir():
                there.mkdir(parents=True, exist_ok=True)
            elif not there.exists() or there.read_bytes() != path.read_bytes():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, there)
        shutil.rmtree(kept)

    def wrote(self, path: str, offset: int, data: bytes) -> None:
        """Note a write that reached the page cache."""
        self.pages.waiting[path].append(Change(offset, data))

    def step(self, kind: Literal["write", "sync"], path: Path, begin: Begin = lambda _: None) -> None:
        """Permit a change that is made past us, or fail it.

        Raises:
            OSError: it must not happen, or its maker must not learn that it did.
        """
        code = self.permit(kind, str(path), self.owner(), begin)
        if code != OK:
            number = errno.ENOSPC if code == FULL else errno.EIO
            raise OSError(number, f"simulated: {os.strerror(number)}", str(path))

    def cut_off(self, path: str, size: int) -> None:
        """Note that a file is cut to a size."""
        self.pages.waiting[path].append(Change(size, None))

    def put(self, path: Path, content: bytes) -> None:
        """Write a file from outside the service, durable at once."""
        with self.watched():
            path.write_bytes(content)
        with path.open("rb") as file:
            self.tree.synced(file.fileno())

    def fsync(self, handle: int) -> None:
        """Sync a file of the service that is no database, or fail as the fault says."""
        place = Path(f"/proc/self/fd/{handle}").readlink()
        if not self.tree.covers(place):
            self._fsync(handle)
            return
        self.step("sync", place)
        self.tree.synced(handle)


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
