"""Files that are replaced one after the other: for a moment a certificate and its key do not fit.

    read ─► they fit: go on     ─► they do not: look again, for a few seconds ─► wrong for good

A service that begins in that moment must not end as if its configuration were wrong.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from fraud.errors import ConfigError

SETTLE_S: Final = 3.0
"""Whoever renews a certificate writes its files within a moment."""
_LOOK_S: Final = 0.05

Content = TypeVar("Content")


def settled(
    read: Callable[[], Content],
    within_s: float = SETTLE_S,
    *,
    now_s: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Content:
    """Return what `read` returns; while files do not fit, look again for at most `within_s` seconds.

    Raises:
        ConfigError: they still do not.
    """
    end_s = now_s() + within_s
    while True:
        try:
            return read()
        except ConfigError:
            if now_s() >= end_s:
                raise
        wait(_LOOK_S)
