import platform
from collections import deque

import psutil
import pytest

from fraud.retrainer.freeing import given_back

PIECE, PIECES = 32 * 2**10, 4_000


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone keeps such pages")
def test_what_was_freed_behind_something_that_stays_goes_back_to_the_system() -> None:
    kept: deque[bytearray] = deque(maxlen=1)

    def fill() -> int:
        pieces = [bytearray(b"x" * PIECE) for _ in range(PIECES)]
        kept.append(pieces[-1])
        return rss()

    full = fill()
    held = rss()
    assert full - held < PIECE * PIECES / 4, "freed by itself, so this proves nothing"
    with pytest.raises(ValueError, match="cycle failed"), given_back():
        raise ValueError("cycle failed")
    assert held - rss() > PIECE * PIECES * 3 / 4
    assert kept
