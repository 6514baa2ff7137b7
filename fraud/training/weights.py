"""What a row counts for in training: its age, its propensity, its share of the sample.

    weight = 2^(−age ÷ half-life) · min(1 ÷ propensity, 10) · 1 ÷ share kept

The age of rows from a memory counts for nothing (`fraud.training.memory`).
Sampling comes after the split and is undone by weights, so the prior that the
booster learns is the natural one. It is a threshold on a hash of the
transaction id: the same row is kept in every run, on every machine.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

INVERSE_PROPENSITY_MAX = 10.0
"""Clip of 1 ÷ propensity: bounded variance for a small bias (FACTS: 5 % explored, clip 10)."""

_PRIME = np.uint64(0x100000001B3)
_OFFSET = np.uint64(0xCBF29CE484222325)
_CHUNK_ROWS = 65_536


def recency(event_time_us: NDArray[np.int64], end_us: int, half_life_us: int | None) -> NDArray[np.float64]:
    """Return a weight that halves with each half-life before `end_us`, float64[n]; None: all ones.

    >>> recency(np.array([0, 50, 100]), 100, 50).tolist()
    [0.25, 0.5, 1.0]
    """
    if half_life_us is None:
        return np.ones(len(event_time_us))
    return np.asarray(np.exp2((event_time_us - end_us) / half_life_us), np.float64)


def inverse_propensity(propensity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 ÷ propensity, at most 10, float64[n].

    >>> inverse_propensity(np.array([1.0, 0.5, 0.01])).tolist()
    [1.0, 2.0, 10.0]
    """
    return np.minimum(1.0 / propensity, INVERSE_PROPENSITY_MAX)


def draws_of(transaction_ids: pl.Series) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each id that depends on the id alone, float64[n].

    FNV-1a over the UTF-8 bytes, then the finaliser of SplitMix64 (Steele, Lea
    and Flood 2014): defined here so that no library update moves a row.
    """
    return np.concatenate(
        [np.empty(0)]
        + [
            _draws(transaction_ids.slice(start, _CHUNK_ROWS))
            for start in range(0, len(transaction_ids), _CHUNK_ROWS)
        ]
    )


def _draws(ids: pl.Series) -> NDArray[np.float64]:
    length = ids.str.len_bytes().to_numpy()
    fixed = ids.cast(pl.Binary).to_numpy().astype(f"S{max(int(length.max()), 1)}")
    letters = fixed.view(np.uint8).reshape(len(ids), -1)
    hashed = np.full(len(ids), _OFFSET)
    for place in range(letters.shape[1]):
        stepped = (hashed ^ letters[:, place].astype(np.uint64)) * _PRIME
        hashed = np.where(place < length, stepped, hashed)
    return mixed(hashed)


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each, float64[n]: the finaliser of SplitMix64, upper 53 bits."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    numbers = numbers ^ (numbers >> np.uint64(31))
    return (numbers >> np.uint64(11)).astype(np.float64) / (1 << 53)
