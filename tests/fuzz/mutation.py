"""Bytes that were right once: cut, flipped, doubled, moved, and with numbers made absurd."""

from typing import Final

from hypothesis import strategies as st

EDITS_MAX: Final = 6
ABSURD: Final = (
    b"",
    b"\x00",
    b"\xff" * 8,
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"-1",
    b"9" * 30,
    b"9" * 5_000,
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"\n",
    b",",
    b'"',
    b"../../../x",
    b"\xed\xa0\x80",
    b"\\ud800",
)


@st.composite
def mutated(draw: st.DrawFn, seed: bytes) -> bytes:
    """Return `seed` after up to `EDITS_MAX` edits."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, EDITS_MAX))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((0, 1, 1, 2, 4, 8, 64, 1_000)))
        match draw(st.sampled_from(("flip", "put", "cut", "drop", "double", "absurd"))):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "put":
                data[at : at + length] = draw(st.binary(min_size=1, max_size=8))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + length]
            case "double":
                data[at:at] = data[at : at + max(length, 1)]
            case "absurd":
                data[at : at + length] = draw(st.sampled_from(ABSURD))
            case _:
                pass
    return bytes(data)
