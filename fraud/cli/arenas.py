"""How many arenas Polars and Delta allocate from: few, so that one uses what another has freed.

Each brings a jemalloc of its own, with four arenas a core. A process that trains again and again, for weeks
and from many threads, would leave a part of a page here and there in all of them, and keep the pages.
"""

from collections.abc import MutableMapping
from typing import Final

VARIABLE: Final = "_RJEM_MALLOC_CONF"
"""Environment variable: what their jemalloc is told. https://jemalloc.net/jemalloc.3.html#tuning"""
ARENAS: Final = 2


def allocate_from_few(environment: MutableMapping[str, str]) -> None:
    """Ask for `ARENAS` of them, unless somebody has said otherwise; before either library is loaded."""
    environment.setdefault(VARIABLE, f"narenas:{ARENAS}")
