"""Gives back to the system what a turn of the retrainer needed for a while.

What is freed goes to C's allocator, and glibc's lets go by itself only of what is free at the end of
an arena. One small thing that stays behind a training set would keep its pages for good.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def given_back() -> Iterator[None]:
    """Return free pages to the system when the body of a `with` ends, however it does.

    Where the C library has no `malloc_trim` (glibc's alone has) nothing is done.
    """
    try:
        yield
    finally:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
