"""Arrays from anywhere: what a header or a member claims is believed only when the bytes are there."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.arrays import MEMBERS_MAX, read_arrays

PLAIN: dict[str, NDArray[Any]] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.zeros((0, 4), np.int64),
    "c": np.array(7),
}
PLAIN["d"] = np.asfortranarray(PLAIN["a"])


def saved(**arrays: NDArray[Any]) -> io.BytesIO:
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **arrays)
    held.seek(0)
    return held


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> io.BytesIO:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    held.seek(0)
    return held


def npy(shape: object, descr: str = "<f4", body: bytes = b"") -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


def test_what_savez_writes_comes_back() -> None:
    read = read_arrays(saved(**PLAIN))
    assert read.keys() == PLAIN.keys()
    for name, array in PLAIN.items():
        np.testing.assert_array_equal(read[name], array, strict=True)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: zipped({"a.npy": npy((2**40,))}), r"claims float32\[1099511627776\] and has 0 bytes"),
        (lambda: zipped({"a.npy": npy((2**62, 2**62))}), "claims"),
        (lambda: zipped({"a.npy": npy((-1, 4), body=bytes(16))}), "claims"),
        (lambda: zipped({"a.npy": npy((1,), "|O", b"cos\nsystem\n")}), "not plain numbers"),
        (lambda: zipped({"a.npy": npy((1,), "<M8[us]", bytes(8))}), "not plain numbers"),
        (lambda: zipped({"a.npy": bytes(2**26)}, zipfile.ZIP_DEFLATED), "is compressed"),
        (lambda: zipped({f"{i}.npy": npy((0,)) for i in range(MEMBERS_MAX + 1)}), "65 arrays, 64 at most"),
        (lambda: zipped({"../../x": b""}), "is no array"),
        (lambda: io.BytesIO(b"PK\x03\x04"), "holds no arrays"),
        (lambda: io.BytesIO(), "holds no arrays"),
    ],
)
def test_what_is_claimed_is_not_set_aside(made: Callable[[], io.BytesIO], told: str) -> None:
    file = made()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=told):
            read_arrays(file)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_members_that_share_their_bytes_are_refused() -> None:
    """A zip may point at the same bytes a thousand times: a bomb without compression."""
    held = zipped({"a.npy": npy((2**16,), body=bytes(2**18))}).getvalue()
    at = held.index(b"PK\x01\x02")
    entry = held[at : held.index(b"PK\x05\x06")]
    directory = entry.replace(b"a.npy", b"b.npy") + entry
    end = b"PK\x05\x06" + bytes(4) + (2).to_bytes(2, "little") * 2 + len(directory).to_bytes(4, "little")
    end += at.to_bytes(4, "little") + bytes(2)
    with pytest.raises(ValueError, match="its members claim"):
        read_arrays(io.BytesIO(held[:at] + directory + end))


def test_a_changed_byte_is_found() -> None:
    raw = bytearray(saved(a=np.arange(64)).getvalue())
    raw[300] ^= 1
    with pytest.raises(ValueError, match="CRC"):
        read_arrays(io.BytesIO(bytes(raw)))
