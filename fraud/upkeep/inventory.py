"""What a backup holds: one line a file, where each part ended, and how to read either kind of backup.

    TARGET/ or TARGET.tar
      backup.json        this inventory, written last
      fraud.toml         the configuration it was made with; secrets of the environment are not in it
      data/…             events.sqlite, registry.sqlite, archive, bundles, state; of an import what is not due

A file that is not in the inventory does not exist; one that differs from its
line by a bit is refused.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, Self

from fraud.documents import read_json
from fraud.errors import Damaged, NotFound, OtherFormat, Unavailable

NAME = "backup.json"
CONFIGURATION = "fraud.toml"
DATA = "data"
FORMAT = 1
BLOCK_BYTES = 2**20
INVENTORY_BYTES_MAX = 64 * 2**20
"""Of `backup.json`: some 400,000 files, years of an archive."""
BESIDE = ("-wal", "-shm", "-journal", ".lock")
"""How the names of files end that SQLite and the locks make beside another; some change what SQLite reads."""
BROKEN_TAR = (tarfile.TarError, KeyError, ValueError, EOFError, OverflowError, RecursionError)
"""What `tarfile` raises on bytes that are no tar file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One file: its path inside the backup, its size, SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Inventory:
    """What a backup holds. Positions are the log's; `snapshot` is 0 where there is none."""

    release: str
    made_at_us: int
    service: str
    formats: dict[str, int]
    log_first: int
    log_head: int
    log_entries: int
    ledger_head: int
    ledger_hash: str
    archive_position: int
    archive_rows: dict[str, int]
    bundles: tuple[str, ...]
    snapshot: int
    files: tuple[Line, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(line.bytes for line in self.files)

    def to_json(self) -> str:
        """Return it as JSON; the same content is the same text."""
        return json.dumps({"format": FORMAT} | dataclasses.asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            OtherFormat: another release wrote it in another format.
            Damaged: it is not what was written.
        """
        try:
            stored: dict[str, Any] = read_json(text)
            found = int(stored.pop("format"))
            if found != FORMAT:
                raise OtherFormat(where, "backup", found, FORMAT)
            files = tuple(_line(**line) for line in stored.pop("files"))
            made = cls(files=files, bundles=tuple(map(str, stored.pop("bundles"))), **stored)
            _check_kinds(made)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"{where}: {NAME} cannot be read ({error!r}); use another backup") from error
        _check_paths([line.path for line in made.files], where)
        return made


def _line(path: str, bytes: int, sha256: str) -> Line:  # noqa: A002 — as the file spells it
    if type(path) is not str or type(bytes) is not int or type(sha256) is not str or bytes < 0:
        raise ValueError(f"{path!r} is no line of a file")
    return Line(path, bytes, sha256)


def _check_kinds(made: Inventory) -> None:
    for field in dataclasses.fields(Inventory):
        value = getattr(made, field.name)
        kind = {"str": str, "int": int}.get(str(field.type), object)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{field.name} is {value!r}")
    for name in ("formats", "archive_rows"):
        counts = getattr(made, name)
        if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
            raise ValueError(f"{name} is {counts!r}")


def _check_paths(paths: Sequence[str], where: str) -> None:
    """Refuse a path that leads out of the backup, one within another, and one made beside another.

    Raises:
        Damaged: by the path.
    """
    known = set(paths)
    for path in paths:
        parts = PurePosixPath(path).parts
        plain = path == "/".join(parts) and ".." not in parts and "\0" not in path
        of_backup = path == CONFIGURATION or (len(parts) > 1 and parts[0] == DATA)
        beside = path.endswith(BESIDE)
        within = any("/".join(parts[:depth]) in known for depth in range(1, len(parts)))
        if not plain or not of_backup or beside or within:
            raise Damaged(f"{where}: {NAME} names {path!r}, which is no file of a backup; use another backup")
    if len(known) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise Damaged(f"{where}: {NAME} names {twice!r} twice; use another backup")


def copy_file(source: IO[bytes], target: Path, name: str, bytes_max: int | None = None) -> Line:
    """Copy to a new file durably; return its line, under `name`.

    Of a source that is longer than `bytes_max` one byte more is copied and no further,
    so that its line tells.

    Raises:
        OSError: it cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while block := source.read(
            BLOCK_BYTES if bytes_max is None else min(BLOCK_BYTES, bytes_max + 1 - size)
        ):
            digest.update(block)
            file.write(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return Line(name, size, digest.hexdigest())


def line_of(path: Path, name: str) -> Line:
    """Return the line of a file that is there, under `name`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Line(name, path.stat().st_size, digest)


class Source(Protocol):
    """A backup to read from: a folder or a tar file."""

    def open(self, path: str) -> IO[bytes]:
        """Return a file of the backup, open.

        Raises:
            Damaged: it is missing.
        """
        ...


class FolderSource:
    """A backup in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, path: str) -> IO[bytes]:
        """Return a file of the backup, open."""
        try:
            # Not waiting: what should be a file may be a pipe that nobody writes to.
            found = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK)
            plain = stat.S_ISREG(os.fstat(found).st_mode)
            inside = (self._folder / path).resolve().is_relative_to(self._folder.resolve())
            if plain and inside:
                return os.fdopen(found, "rb")
            os.close(found)
        except OSError as error:
            raise Damaged(f"{self._folder}: {path} cannot be read ({error}); use another backup") from error
        raise Damaged(f"{self._folder}: {path} is no file of its own; use another backup")


class TarSource:
    """A backup in one tar file."""

    def __init__(self, name: str, tar: tarfile.TarFile) -> None:
        self._name = name
        self._tar = tar

    def open(self, path: str) -> IO[bytes]:
        """Return a file of the backup, open."""
        try:
            member = self._tar.getmember(path)
            # A link would be followed, a sparse file would unfold.
            file = self._tar.extractfile(member) if member.isreg() and not member.issparse() else None
        except BROKEN_TAR as error:
            raise Damaged(f"{self._name}: {path} cannot be read ({error}); use another backup") from error
        if file is None:
            raise Damaged(f"{self._name}: {path} is no plain file; use another backup")
        return file


@contextlib.contextmanager
def opened(place: Path) -> Iterator[tuple[Inventory, Source]]:
    """Open a backup and read its inventory.

    Raises:
        NotFound: there is none.
        OtherFormat, Damaged: it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        source: Source
        if place.is_dir():
            source = FolderSource(place)
        elif place.is_file():
            try:
                source = TarSource(str(place), stack.enter_context(tarfile.open(place, "r:")))
            except BROKEN_TAR as error:
                raise Damaged(f"{place}: is no backup ({error}); name a folder or a .tar file") from error
        else:
            raise NotFound(f"{place}: no backup there; name what 'fraud backup' wrote")
        try:
            with source.open(NAME) as file:
                raw = file.read(INVENTORY_BYTES_MAX + 1)
        except (OSError, *BROKEN_TAR) as error:
            raise Damaged(f"{place}: {NAME} cannot be read ({error}); use another backup") from error
        if len(raw) > INVENTORY_BYTES_MAX:
            raise Damaged(f"{place}: {NAME} is larger than {INVENTORY_BYTES_MAX} bytes; use another backup")
        text = raw.decode("utf-8", errors="replace")
        yield Inventory.from_json(text, str(place)), source


def as_tar(folder: Path, target: Path, inventory: Inventory) -> None:
    """Write a backup's folder as one tar file, the inventory first; it is for its owner's eyes only.

    Raises:
        Unavailable: it cannot be written.
    """
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name in (NAME, *(line.path for line in inventory.files)):
                    tar.add(folder / name, name, recursive=False, filter=_private)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(f"{target}: was not written ({error}); check disk space and permissions") from error


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let whoever unpacks it by hand get files for their own eyes only, too."""
    member.mode = 0o600
    return member
