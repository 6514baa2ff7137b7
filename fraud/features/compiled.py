"""The door to numba: compiled functions keep their Python signature for the type checker."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_compile: Any = numba.njit


def jit(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function to machine code at its first call and keep the code on disk.

    No `fastmath`: additions are not reordered and nothing is fused, so the same
    integers give the same float32 on every run. The cache on disk is renewed
    when the *file of the called function* changes, so a kernel and all that it
    calls stand in one file, or it names the digest of the other (`hops.CELLS`).
    The interpreter lock is held: a call takes microseconds, and winning the lock
    back from the event loop takes longer.
    """
    compiled: Callable[Arguments, Result] = _compile(
        cache=True, nogil=False, fastmath=False, error_model="numpy"
    )(function)
    return compiled
