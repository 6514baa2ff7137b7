"""No slice may pay for the rest: new cards, a country, a channel, large amounts.

    rows ─► partitions: new entities · values of a field · bands of amounts
      a part with `attacks_min` units or more              → tested by itself
      the smaller ones of a field or of the amounts        → pooled, tested together if that is enough
      what is smaller still                                → reported, never tested
    attacks that a person has confirmed                    → slices of their own (`fraud.gate.attacks`)

A slice fails when the challenger is worse there beyond doubt: the count process
the other way round, restricted to the units of the slice, reaches E for all
tested slices together (Bonferroni), and recall is lower by more than the margin.
A slice of thirty attacks cannot *prove* that it lost less than a few points, so
proof of no loss is not asked for; the interval says how much could be lost unseen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import SECOND_US
from fraud.evaluation.metrics import Bools
from fraud.gate.votes import Ballot, Votes
from fraud.settings import Settings

REST = "(small ones)"
NOT_GIVEN = "(not given)"


@dataclass(frozen=True, slots=True)
class SliceRules:
    """Which slices rows are cut into; entities need their age among the features.

    `amounts` are rising edges in minor units of the base currency.
    """

    new_entities: tuple[str, ...] = ()
    new_within_us: int = 0
    fields: tuple[str, ...] = ()
    amounts: tuple[int, ...] = ()
    attacks_min: int = 30

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the rules from the configuration."""
        given = settings.gate.slices
        return cls(
            new_entities=settings.new_entities,
            new_within_us=given.new_within,
            fields=settings.slice_fields,
            amounts=given.amounts,
            attacks_min=given.attacks_min,
        )


NO_SLICES = SliceRules()


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the evidence: `rows` of it in all, and the votes of its units.

    `tested` tells whether it has units enough.
    """

    name: str
    rows: int
    votes: Votes
    tested: bool


def slices_of(frame: pl.DataFrame, ballot: Ballot, rules: SliceRules) -> tuple[Slice, ...]:
    """Cut the evidence into slices.

    `frame` holds the rows of the evidence, columns as the archive's; of an
    entity its age (`f_<entity>_age_s`), of a field its words. A field that
    rows of before it existed lack counts as not given.
    """
    found: list[Slice] = []
    for entity in rules.new_entities:
        found += _slice(f"new_{entity}", _new(frame, entity, rules), ballot, rules)
    for field in rules.fields:
        words = frame[f"categorical_{field}"].fill_null("").replace("", NOT_GIVEN)
        found += _parts(field, words, ballot, rules)
    if rules.amounts:
        amounts = frame["amount_base_minor"].to_numpy()
        bands = np.searchsorted(np.array(rules.amounts), amounts, side="right")
        names = np.array(_band_names(rules.amounts))
        found += _parts("amount", pl.Series(names[bands], dtype=pl.String), ballot, rules)
    return tuple(found)


def _new(frame: pl.DataFrame, entity: str, rules: SliceRules) -> Bools:
    """Mark rows of an entity that was first seen a short while ago, or never before."""
    age_s = frame[f"f_{entity}_age_s"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    given = frame[f"entity_{entity}"].fill_null(-1).to_numpy() >= 0
    young: Bools = np.isnan(age_s) | (age_s * SECOND_US < rules.new_within_us)
    return given & young


def _parts(field: str, words: pl.Series, ballot: Ballot, rules: SliceRules) -> Iterator[Slice]:
    """Yield the values of a field, most rows first; those with few units as one."""
    values, code = np.unique(words.to_numpy(), return_inverse=True)
    units = _units_of(code, len(values), ballot)
    large = np.flatnonzero(units >= rules.attacks_min)
    rows = np.bincount(code, minlength=len(values))
    for value in large[np.argsort(-rows[large], kind="stable")]:
        yield from _slice(f"{field}={values[value]}", code == value, ballot, rules)
    if len(large) < len(values):
        small = ~np.isin(code, large)
        few = len(values) - len(large)
        name = str(values[units < rules.attacks_min][0]) if few == 1 else REST
        yield from _slice(f"{field}={name}", small, ballot, rules)


def _units_of(code: NDArray[np.intp], values: int, ballot: Ballot) -> NDArray[np.int64]:
    """Count the units that have a row of each value, int64[values]."""
    pairs = np.unique(np.stack([code[ballot.rows], ballot.unit]), axis=1)
    return np.bincount(pairs[0], minlength=values)


def _slice(name: str, inside: Bools, ballot: Ballot, rules: SliceRules) -> Iterator[Slice]:
    votes = ballot.votes(inside)
    yield Slice(name, int(inside.sum()), votes, tested=len(votes) >= rules.attacks_min)


def _band_names(edges: tuple[int, ...]) -> list[str]:
    """Name the bands between edges, in major units.

    >>> _band_names((1_000, 10_000))
    ['<10', '10-100', '>=100']
    """
    majors = [f"{edge / 100:g}" for edge in edges]
    between = [f"{low}-{high}" for low, high in pairwise(majors)]
    return [f"<{majors[0]}", *between, f">={majors[-1]}"]
