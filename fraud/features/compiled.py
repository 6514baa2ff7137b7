"""The door to numba: compiled functions keep their Python signature for the type checker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

import fraud

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_compile: Any = numba.njit
_config: Any = numba.config

if _config.CACHE_DIR:
    # An upgrade in place has processes of two releases on one folder for a while. numba names machine code
    # by file and function, and enters it in its index before it is written: one release might load what the
    # other has left there under the same name.
    _config.CACHE_DIR = str(Path(_config.CACHE_DIR) / f"{fraud.__version__}-{numba.__version__}")


def jit(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function to machine code at its first call and keep the code on disk.

    No `fastmath`: additions are not reordered and nothing is fused, so the same
    integers give the same float32 on every run. The cache on disk is renewed
    when the *file of the called function* changes, so a kernel and all that it
    calls stand in one file, or it names the digest of the other (`hops.CELLS`).
    Each release has a folder of its own in `NUMBA_CACHE_DIR`, where that is set.
    The interpreter lock is held: a call takes microseconds, and winning the lock
    back from the event loop takes longer.
    """
    compiled: Callable[Arguments, Result] = _compile(
        cache=True, nogil=False, fastmath=False, error_model="numpy"
    )(function)
    return compiled
