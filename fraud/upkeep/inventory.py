"""What a backup holds: one line a file, where each part ended, and how to read either kind of backup.

    TARGET/ or TARGET.tar
      backup.json        this inventory, written last
      fraud.toml         the configuration it was made with; secrets of the environment are not in it
      data/…             events.sqlite, registry.sqlite, archive, bundles, state

A file that is not in the inventory does not exist; one that differs from its
line by a bit is refused.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, Self

from fraud.errors import Damaged, NotFound, OtherFormat, Unavailable

NAME = "backup.json"
CONFIGURATION = "fraud.toml"
DATA = "data"
FORMAT = 1
BLOCK_BYTES = 2**20


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
            stored: dict[str, Any] = json.loads(text)
            found = int(stored.pop("format"))
            if found != FORMAT:
                raise OtherFormat(where, "backup", found, FORMAT)
            files = tuple(Line(**line) for line in stored.pop("files"))
            made = cls(files=files, bundles=tuple(stored.pop("bundles")), **stored)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Damaged(f"{where}: {NAME} cannot be read ({error!r}); use another backup") from error
        for line in made.files:
            _check_path(line.path, where)
        return made


def _check_path(path: str, where: str) -> None:
    parts = PurePosixPath(path).parts
    if path != "/".join(parts) or not parts or ".." in parts or parts[0] not in (DATA, CONFIGURATION):
        raise Damaged(f"{where}: {NAME} names {path!r}, which is no file of a backup; use another backup")


def copy_file(source: IO[bytes], target: Path, name: str) -> Line:
    """Copy to a new file durably; return its line, under `name`.

    Raises:
        OSError: it cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while block := source.read(BLOCK_BYTES):
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
            return (self._folder / path).open("rb")
        except OSError as error:
            raise Damaged(f"{self._folder}: {path} cannot be read ({error}); use another backup") from error


class TarSource:
    """A backup in one tar file."""

    def __init__(self, name: str, tar: tarfile.TarFile) -> None:
        self._name = name
        self._tar = tar

    def open(self, path: str) -> IO[bytes]:
        """Return a file of the backup, open."""
        try:
            member = self._tar.extractfile(path)
        except (KeyError, tarfile.TarError) as error:
            raise Damaged(f"{self._name}: {path} cannot be read ({error}); use another backup") from error
        if member is None:
            raise Damaged(f"{self._name}: {path} is no file; use another backup")
        return member


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
            except tarfile.TarError as error:
                raise Damaged(f"{place}: is no backup ({error}); name a folder or a .tar file") from error
        else:
            raise NotFound(f"{place}: no backup there; name what 'fraud backup' wrote")
        with source.open(NAME) as file:
            text = file.read().decode("utf-8", errors="replace")
        yield Inventory.from_json(text, str(place)), source


def as_tar(folder: Path, target: Path, inventory: Inventory) -> None:
    """Write a backup's folder as one tar file, the inventory first.

    Raises:
        Unavailable: it cannot be written.
    """
    try:
        with target.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name in (NAME, *(line.path for line in inventory.files)):
                    tar.add(folder / name, name, recursive=False)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable(f"{target}: was not written ({error}); check disk space and permissions") from error
