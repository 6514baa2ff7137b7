"""Arrays in one file, as `numpy.savez` writes them, read without trusting a word of it.

    zip, stored ─▶ members: few, together no larger than the file ─▶ header: type and shape
                                └─ exactly as many bytes as these say ─▶ array

Nothing is unpacked and nothing unpickled, so what is held is never more than the file
itself: a header that claims a larger array, or a member that claims to unfold, is refused
before anything is set aside for it. `numpy.load` would believe both.
"""

import math
import zipfile
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MEMBERS_MAX: Final = 64
"""Arrays in one file: a snapshot has two for each entity kind, and three besides."""
_SUFFIX: Final = ".npy"
_HEADER_BYTES_MAX: Final = 10_000
_BLOCK_BYTES: Final = 2**20
_WRONG: Final = (EOFError, KeyError, OverflowError, RuntimeError, SyntaxError, TypeError, zipfile.BadZipFile)
"""What zipfile and numpy raise on bytes that nobody wrote; RuntimeError: encrypted, or no such method."""


def read_arrays(file: Path | IO[bytes]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name, plain numbers all.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not what `numpy.savez` writes.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check(members, _size(archive))
            return {it.filename.removesuffix(_SUFFIX): _array(archive, it) for it in members}
    except _WRONG as error:
        raise ValueError(f"it holds no arrays ({error})") from error


def _size(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None
    return archive.fp.seek(0, 2)


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > MEMBERS_MAX:
        raise ValueError(f"it holds {len(members)} arrays, {MEMBERS_MAX} at most are read")
    names = {it.filename for it in members}
    if len(names) < len(members) or not all(name.endswith(_SUFFIX) for name in names):
        raise ValueError("a member is no array, or comes twice")
    packed = [it.filename for it in members if it.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"{packed[0]} is compressed, which is never written")
    claimed = sum(it.file_size for it in members)
    if claimed > size:
        raise ValueError(f"its members claim {claimed} bytes, the file has {size}")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{member.filename} is of array format {version}, which is never written")
        shape, fortran, dtype = npy.read_array_header_1_0(file, max_header_size=_HEADER_BYTES_MAX)
        if dtype.hasobject or dtype.kind not in "biuf":
            raise ValueError(f"{member.filename} is {dtype}, not plain numbers")
        wanted, left = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if wanted != left or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} claims {dtype}{list(shape)} and has {left} bytes")
        array = np.empty(shape[::-1] if fortran else shape, dtype)
        place = array.reshape(-1).view(np.uint8)
        at = 0
        while block := file.read(min(_BLOCK_BYTES, wanted - at + 1)):
            place[at : at + len(block)] = np.frombuffer(block, np.uint8)
            at += len(block)
        if at != wanted:
            raise ValueError(f"{member.filename} ends after {at} of {wanted} bytes")
        return array.T if fortran else array
