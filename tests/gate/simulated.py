"""Whole worlds, looked at every day: how often a challenger is ever superior, and how far it is ahead.

Each world is seeded by its number; a failure is repeated by its seed. What the gate makes of
the same worlds is gathered once.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from fraud.gate.eprocess import superiority_log_e
from fraud.gate.evidence import gather
from fraud.gate.votes import Votes
from tests.gate.worlds import World, rules

WORLDS = 80
EQUAL = World(seed=0)

Change = Callable[[World, pl.DataFrame], pl.DataFrame]
"""What is done to the traffic of a world before the gate sees it: a function of a module, for it is a key."""


def as_it_is(_: World, frame: pl.DataFrame) -> pl.DataFrame:
    return frame


@functools.cache
def votes_of(world: World, change: Change) -> tuple[Votes, ...]:
    """Return the votes in each of the worlds that differ by their seeds alone."""
    seeded = (replace(world, seed=seed) for seed in range(WORLDS))
    return tuple(gather(change(it, it.frame()), rules()).votes for it in seeded)


def ever_superior(votes: Votes, bound: float = 20.0) -> bool:
    """Look after every closed day, at E >= bound."""
    looks = []
    for day in np.unique(votes.days):
        seen = votes.days <= day
        wins = int(np.sum(votes.challenger[seen] & ~votes.champion[seen]))
        looks.append(superiority_log_e(wins, int(np.sum(votes.champion[seen] & ~votes.challenger[seen]))))
    return max(looks, default=0.0) >= math.log(bound)


def promoted(world: World, change: Change = as_it_is) -> float:
    """Share of worlds in which the challenger is ever superior."""
    return sum(map(ever_superior, votes_of(world, change))) / WORLDS


def lean(world: World, change: Change = as_it_is) -> float:
    """How far the challenger is ahead over all worlds, in standard deviations of a fair coin."""
    votes = votes_of(world, change)
    wins, losses = sum(it.wins for it in votes), sum(it.losses for it in votes)
    assert wins + losses > 1_000
    return (wins - losses) / math.sqrt(wins + losses)
