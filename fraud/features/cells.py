"""What the kernel does to cells and sums, without knowing where they stand: rings, buckets, deviations.

    ring    H cells that come round; a part of it is `first` to `last`, which may wrap
    bucket  the last second at which a value fell into it, + 1; 0 for never

Distinct values: linear counting [Whang, Vander-Zanden, Taylor 1990] over buckets
that hold the last second at which a value fell into them [timestamp vector: Kim,
O'Hallaron 2003; sliding HyperLogLog: Chabchoub, Hébrail 2010]. One array serves
all windows: a bucket is empty for those whose first hop begins after its second.

Compiled into the kernel (`hops`), whose machine code on disk is renewed when *its*
file changes: `hops.CELLS` is the digest of this one, and a test holds the two together.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fraud.features.compiled import jit

Integer: TypeAlias = int | np.int64
Real: TypeAlias = float | np.float64
Small: TypeAlias = NDArray[np.uint32]
Wide: TypeAlias = NDArray[np.int64]
Values: TypeAlias = NDArray[np.float32]

SECOND_US = 1_000_000
LAST_SECOND = 2**32 - 2  # a bucket holds second + 1 in 32 bits: until the year 2106
MASK_32 = 0xFFFFFFFF


@jit
def bucket_of(surrogate: Integer, buckets: Integer) -> Integer:
    """Return the bucket of a surrogate: the finaliser of MurmurHash3, scaled to `buckets`."""
    h = np.int64(surrogate) & MASK_32
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & MASK_32
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & MASK_32
    h ^= h >> 16
    return (h * buckets) >> 32


@jit
def second_mark(time_us: Integer) -> Integer:
    """Return what a bucket stores for a time: its second + 1, for 0 means never."""
    return min(max(time_us // SECOND_US, 0), LAST_SECOND) + 1


@jit
def ring_sum(block: Small | Wide, ring: Integer, hops: Integer, first: Integer, last: Integer) -> Integer:
    """Add the cells `first` to `last`, both included, of the ring that starts at `ring`."""
    total = np.int64(0)
    wraps = first > last
    for cell in range(ring + first, ring + (hops if wraps else last + 1)):
        total += np.int64(block[cell])
    for cell in range(ring, ring + (last + 1 if wraps else 0)):
        total += np.int64(block[cell])
    return total


@jit
def ring_largest(block: Small, ring: Integer, hops: Integer, first: Integer, last: Integer) -> Integer:
    """Return the largest of the cells `first` to `last`; 0 when all are empty."""
    largest = np.int64(0)
    for cell in range(first, first + (last - first) % hops + 1):
        largest = max(largest, np.int64(block[ring + (cell if cell < hops else cell - hops)]))
    return largest


@jit
def ring_clear(block: Small | Wide, ring: Integer, hops: Integer, first: Integer, last: Integer) -> None:
    """Empty the cells `first` to `last`, both included."""
    if first <= last:
        block[ring + first : ring + last + 1] = 0
    else:
        block[ring : ring + last + 1] = 0
        block[ring + first : ring + hops] = 0


@jit
def deviation(count: Integer, total: Integer, upper: Integer, lower: Integer) -> Real:
    """Return the sample standard deviation of `count` ≥ 2 integers, in their unit.

    `total` is their sum S, `upper`·2^32 + `lower` the sum of their squares. With
    q = ⌊S/n⌋ and r = S - n·q, exactly and in integers, Σ(x - q)² = Σx² - q·(S + r);
    Σ(x - mean)² is smaller by r²/n. Nothing cancels: equal amounts deviate by 0.
    """
    quotient = total // count
    rest = total - quotient * count
    upper -= quotient * ((total + rest) >> 32)
    lower -= quotient * ((total + rest) & MASK_32)
    about = np.float64(upper + (lower >> 32)) * 4294967296.0 + np.float64(lower & MASK_32)
    squares = about - np.float64(rest) * np.float64(rest) / np.float64(count)
    return np.float64(np.sqrt(max(squares, 0.0) / np.float64(count - 1)))


@jit
def put(out: Values, i: Integer, column: Integer, value: Real) -> None:
    """Write a feature if it was asked for."""
    if column >= 0:
        out[i, column] = value
