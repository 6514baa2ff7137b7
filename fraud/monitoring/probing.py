"""Who probes: entities that test cards or walk along a limit, counted against their own quiet weeks.

    payments of a day, by entity, in order of time
      ladder     amounts that rise step by step above what passed: somebody looks for the limit
      trial      a small payment, and soon a large one: a card is tried before it is used
      declines   several payments of one that were not simply approved
      small      many small payments: cards are tried, maybe to be sold
    entities of each kind and pattern   against   the same days of the weeks before (`fraud.evaluation.quiet`)

Whatever honest payers do all the time (a transit card, a vending machine) is in
the weeks before. A look finds something when there are enough such entities, several
times as many as promised, beyond chance for all patterns and kinds together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from fraud.evaluation.quiet import forecast
from fraud.settings.monitoring import Ladder, ManyDeclines, ManySmall, Probing, Trial

LADDER, TRIAL, DECLINES, SMALL = PATTERNS = ("ladder", "trial", "declines", "small")
_Rule = Ladder | Trial | ManyDeclines | ManySmall
Key = tuple[str, str]
"""Pattern and kind of entity."""
COLUMNS: Final = ("position", "event_time_us", "amount_base_minor", "stopped")
"""What is looked at beside the entity; `stopped`: not simply approved."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Entities that fit a pattern within a day, and the payments that were looked at."""

    entities: int
    rows: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A pattern of one kind of entity: how many there are, were expected, and by which chance.

    `expected` is NaN and `chance` 1 where the weeks before say nothing.
    """

    pattern: str
    kind: str
    entities: int
    expected: float
    chance: float
    alarming: bool


def kinds_of(rules: Probing, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the patterns that are looked for in each kind of entity; `names` are the schema's.

    By default it is the first entity, the card, that climbs a ladder or is tried; the rest is looked
    for in all.

    >>> kinds_of(Probing(), ["card", "merchant"])
    {'card': ('ladder', 'trial', 'declines', 'small'), 'merchant': ('declines', 'small')}
    """
    asked: dict[str, tuple[_Rule, Sequence[str]]] = {
        LADDER: (rules.ladder, names[:1]),
        TRIAL: (rules.trial, names[:1]),
        DECLINES: (rules.declines, names),
        SMALL: (rules.small, names),
    }
    chosen = {it: usual if rule.entities is None else rule.entities for it, (rule, usual) in asked.items()}
    found = {name: tuple(it for it in PATTERNS if name in chosen[it]) for name in names}
    return {name: patterns for name, patterns in found.items() if patterns}


def count(rows: pl.DataFrame, entity: str, patterns: Sequence[str], rules: Probing) -> dict[str, Seen]:
    """Count the entities of a day that fit each pattern.

    `rows` has `COLUMNS` and the column `entity` of surrogates (null: not given), in any order.
    """
    own = rows.drop_nulls(entity).sort(entity, "event_time_us", "position")
    found = {
        LADDER: lambda: _climbers(own, entity, rules.ladder),
        TRIAL: lambda: _tried(own, entity, rules.trial),
        DECLINES: lambda: _frequent(own, entity, pl.col("stopped"), rules.declines),
        SMALL: lambda: _frequent(
            own, entity, pl.col("amount_base_minor").is_between(1, rules.small.amount_max_minor), rules.small
        ),
    }
    return {pattern: Seen(found[pattern](), len(own)) for pattern in patterns}


def _earlier(column: str, entity: str, rows: int) -> pl.Expr:
    """Return a column so many rows before, null in another entity; rows are in order of entity and time."""
    same = pl.col(entity) == pl.col(entity).shift(rows)
    return pl.when(same).then(pl.col(column).shift(rows))


def _climbers(own: pl.DataFrame, entity: str, rules: Ladder) -> int:
    """Count entities that climb; rows are in order of entity and time."""
    amount, passed = pl.col("amount_base_minor"), ~pl.col("stopped")
    highest = pl.when(passed).then(amount).otherwise(0).cum_max().shift(1, fill_value=0).over(entity)
    known = own.with_columns(highest=highest, before=_earlier("amount_base_minor", entity, 1))
    above = (amount > pl.col("highest")) & (amount > 0)
    near = amount <= pl.col("highest") * rules.factor
    # Whoever is declined and tries the same sum again does not climb.
    step = above & near & amount.ne_missing(pl.col("before"))
    # What passes far above begins a new ladder. Nobody has a step before the first such payment, so a
    # number is of one entity.
    steps = known.with_columns(ladder=(above & ~near & passed).cum_sum()).filter(step)
    took = pl.col("event_time_us") - _earlier("event_time_us", "ladder", rules.steps_min - 1)
    return int(steps.filter(took <= rules.within)[entity].n_unique())


def _tried(own: pl.DataFrame, entity: str, rules: Trial) -> int:
    """Count entities with a large payment soon after a small one; rows are in order of entity and time."""
    amount, time = pl.col("amount_base_minor"), pl.col("event_time_us")
    small = pl.when(amount.is_between(1, rules.small_max_minor)).then(time).forward_fill().over(entity)
    large = amount >= rules.large_min_minor
    return int(own.filter(large & (time - small <= rules.within))[entity].n_unique())


def _frequent(own: pl.DataFrame, entity: str, marked: pl.Expr, rules: ManyDeclines | ManySmall) -> int:
    """Count entities with so many marked payments within a span, and a large share of them overall."""
    took = pl.col("event_time_us") - _earlier("event_time_us", entity, rules.count_min - 1)
    dense = own.filter(marked).filter(took <= rules.within).select(entity).unique()
    counts = own.join(dense, on=entity, how="semi").group_by(entity).agg(share=marked.mean())
    return counts.filter(pl.col("share") >= rules.share).height


def judge(now: Mapping[Key, Seen], before: Sequence[Mapping[Key, Seen]], rules: Probing) -> tuple[Probe, ...]:
    """Hold the last day against the days before it, the newest first; by pattern and kind, in order.

    Growing traffic is no finding: what is expected follows the payments that were looked at.
    """
    return tuple(_judged(now, before, rules))


def _judged(now: Mapping[Key, Seen], before: Sequence[Mapping[Key, Seen]], rules: Probing) -> Iterator[Probe]:
    nobody = Seen(0, 0)
    for (pattern, kind), seen in sorted(now.items()):
        past = [day.get((pattern, kind), nobody) for day in before]
        promised = forecast(
            np.array([it.entities for it in past], np.int64),
            exposure=np.array([it.rows for it in past], np.float64),
            exposed=float(seen.rows),
        )
        if promised is None:
            yield Probe(pattern, kind, seen.entities, float("nan"), 1.0, alarming=False)
            continue
        chance = promised.chance(seen.entities)
        enough = seen.entities >= max(rules.entities_min, rules.jump * promised.expected)
        beyond = chance <= rules.p_value / len(now)
        yield Probe(pattern, kind, seen.entities, promised.expected, chance, alarming=enough and beyond)
