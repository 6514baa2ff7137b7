"""Where bundles lie: a folder per digest, written once, verified at every read.

folder/<digest>/booster.ubj bundle.json selftest.npz
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from fraud.bundle.bundle import FILES, Bundle, digest_of_files
from fraud.errors import Damaged, NotFound

_DIGEST = re.compile(r"[0-9a-f]{64}")


class BundleStore:
    """Content-addressed bundles under one folder. Safe for several processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, bundle: Bundle) -> str:
        """Store a bundle durably and return its digest; one that is there already stays.

        The folder appears whole or not at all: written aside, then renamed.
        """
        digest = bundle.digest
        place = self._folder / digest
        if place.is_dir():
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
            _sync_folder(aside)
            try:
                aside.rename(place)
            except OSError:
                # Somebody else wrote the same content in between; theirs is as good.
                if not place.is_dir():
                    raise
            _sync_folder(self._folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return digest

    def read(self, digest: str) -> Bundle:
        """Load a bundle, its digest verified.

        Raises:
            NotFound: no such bundle.
            Damaged: the files are not those the digest names.
        """
        place = self._place(digest)
        files = {name: (place / name).read_bytes() for name in FILES if (place / name).is_file()}
        found = digest_of_files(files)
        if found != digest:
            raise Damaged(f"bundle {digest} has digest {found} on disk; restore {place.name} from a copy")
        return Bundle.from_files(files)

    def size(self, digest: str) -> int:
        """Return the bytes a bundle takes.

        Raises:
            NotFound: no such bundle.
        """
        place = self._place(digest)
        return sum(file.stat().st_size for file in place.iterdir())

    def _place(self, digest: str) -> Path:
        place = self._folder / digest
        if not _DIGEST.fullmatch(digest) or not place.is_dir():
            raise NotFound(f"bundle {digest!r} is not in the store; see 'fraud versions' for those that are")
        return place


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
