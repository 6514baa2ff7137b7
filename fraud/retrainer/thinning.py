"""Takes a part of many rows, the same one each time."""

from typing import Final

import polars as pl

_FACTOR: Final = 0x9E3779B97F4A7C15
"""2⁶⁴ ÷ the golden ratio, odd."""


def one_in(step: int) -> pl.Expr:
    """Mark about one row in `step`, by its position in the log; 1 or less marks all.

    Positions have patterns: who reports each outcome right after its payment has payments at every other one.
    Multiplied by a large odd number they have none that a step would meet (Knuth, TAOCP 6.4).
    """
    mixed = pl.col("position").cast(pl.UInt64) * pl.lit(_FACTOR, pl.UInt64) // pl.lit(2**33, pl.UInt64)
    return mixed % max(step, 1) == 0
