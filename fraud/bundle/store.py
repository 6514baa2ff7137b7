"""Where bundles lie: a folder per digest, written once, verified at every read.

folder/<digest>/booster.ubj bundle.json selftest.npz, with folds without-0.ubj …
folder/.writing-*     on its way in; left behind by a process that died
folder/.going-*       on its way out
"""

import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from fraud.bundle.bundle import BYTES_MAX, FILES, Bundle, digest_of_files
from fraud.documents import read_bounded
from fraud.durable import sync
from fraud.errors import Damaged, NotFound, Unavailable

_DIGEST = re.compile(r"[0-9a-f]{64}")
WRITING_S = 24 * 3600.0
"""A folder written or asked for within this time may still be about to be registered."""


class BundleStore:
    """Content-addressed bundles under one folder. Safe for several processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, bundle: Bundle) -> str:
        """Store a bundle durably and return its digest; one that is there already stays.

        The folder appears whole or not at all: written aside, then renamed.

        Raises:
            Unavailable: the disk failed or is full; the bundle may be there all the same.
        """
        try:
            return self._write(bundle)
        except OSError as error:
            raise Unavailable(
                f"{self._folder}: bundle {bundle.digest} was not stored ({error}); "
                "check disk space and permissions"
            ) from error

    def _write(self, bundle: Bundle) -> str:
        digest = bundle.digest
        place = self._folder / digest
        if place.is_dir():
            with suppress(FileNotFoundError):  # deleted in between
                # Whoever wants to delete it looks at this: it is about to be needed again.
                os.utime(place)
                # Its writer may have died before its name was durable.
                self._sync()
                return digest
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=self._folder))
        try:
            for name, content in bundle.files().items():
                with (aside / name).open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            aside.chmod(0o755)
            sync(aside)
            try:
                aside.rename(place)
            except OSError:
                # Somebody else wrote the same content in between; theirs is as good.
                if not place.is_dir():
                    raise
            self._sync()
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return digest

    def read(self, digest: str) -> Bundle:
        """Load a bundle, its digest verified.

        Raises:
            NotFound: no such bundle.
            Damaged: the files are not those the digest names.
            Unavailable: a file cannot be read now.
        """
        try:
            place = self._place(digest)
            files = {
                name: read_bounded(place / name, BYTES_MAX[name])
                for name in BYTES_MAX
                if (place / name).is_file()
            }
        except ValueError as error:
            raise Damaged(f"bundle {digest} is not read: of a file {error}; restore it from a copy") from None
        except OSError as error:
            raise self._unreadable(digest, error) from None
        found = digest_of_files(files)
        if found != digest:
            self._place(digest)  # NotFound when it was deleted while it was read
            raise Damaged(f"bundle {digest} has digest {found} on disk; restore {place.name} from a copy")
        return Bundle.from_files(files)

    def size(self, digest: str) -> int:
        """Return the bytes a bundle takes on disk.

        Raises:
            NotFound: no such bundle.
            Unavailable: its files cannot be looked at now.
        """
        return sum(self._sizes(digest).values())

    def size_served(self, digest: str) -> int:
        """Return the bytes of what a scorer keeps of a bundle; the boosters of folds are not among it.

        Raises: as `size`.
        """
        return sum(size for name, size in self._sizes(digest).items() if name in FILES)

    def _sizes(self, digest: str) -> dict[str, int]:
        try:
            place = self._place(digest)
            return {file.name: file.stat().st_size for file in place.iterdir()}
        except OSError as error:
            raise self._unreadable(digest, error) from None

    def has(self, digest: str) -> bool:
        """Tell whether a bundle is in the store."""
        return _DIGEST.fullmatch(digest) is not None and (self._folder / digest).is_dir()

    def digests(self) -> list[str]:
        """Return the digests of the bundles in the store, in order."""
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(place.name for place in found if self.has(place.name))

    def touched_within(self, digest: str, seconds: float) -> bool:
        """Tell whether a bundle was written, or written again, so short a time ago.

        Raises:
            NotFound: no such bundle.
        """
        return time.time() - self._place(digest).stat().st_mtime < seconds

    def delete(self, digest: str) -> int:
        """Delete a bundle and return its bytes; it disappears whole or not at all.

        One that somebody wrote again a moment ago stays: 0 bytes.

        Raises:
            NotFound: no such bundle.
        """
        place = self._place(digest)
        if self.touched_within(digest, WRITING_S):
            return 0
        size = self.size(digest)
        aside = Path(tempfile.mkdtemp(prefix=".going-", dir=self._folder))
        gone = place.rename(aside / digest)
        if time.time() - gone.stat().st_mtime < WRITING_S:
            gone.rename(place)
            aside.rmdir()
            return 0
        sync(self._folder)
        shutil.rmtree(aside)
        return size

    def leftovers(self) -> list[Path]:
        """Return the folders that a process left behind half-way, older than a day."""
        places = [*self._folder.glob(".writing-*"), *self._folder.glob(".going-*")]
        return sorted(place for place in places if time.time() - place.stat().st_mtime >= WRITING_S)

    def _sync(self) -> None:
        """Make the names of the bundles durable, and that of the folder itself."""
        sync(self._folder)
        sync(self._folder.parent)

    def _place(self, digest: str) -> Path:
        place = self._folder / digest
        if not self.has(digest):
            raise NotFound(f"bundle {digest!r} is not in the store; see 'fraud versions' for those that are")
        return place

    def _unreadable(self, digest: str, error: OSError) -> Unavailable:
        """Return why a bundle that is there is not read; raise NotFound when it was deleted meanwhile."""
        self._place(digest)
        return Unavailable(f"bundle {digest} cannot be read now ({error}); check disk and permissions")
