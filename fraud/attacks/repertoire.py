"""What could be done with a stolen card, drawn at random: ways within a cost, whoever defends.

    fraud ─ choices, amounts, parts, pauses within `[attacks]` ─▶ attempts ─ kernel ─▶ features of each

The searches (`whitebox`, `blackbox`) answer one model and give one evasion of a fraud, so
whoever learns from that alone leaves the next way open. Attempts answer nobody: what of them
gets past a model is asked of that model, as often as there are models, without another fold
of the past. Every control that a search has is drawn from, within its bounds: a sum in parts,
at most `split.payments_max`, or what a prober gets in at most `queries` tries, each of
`amount.least_share` or more. No attempt takes less of the value than that.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.payment import Capabilities, Choice, Fraud, Payment
from fraud.attacks.rehearsal import Rehearsal

PAUSES_MAX = 4
"""A pause of a prober is at most so many of `query_apart`: tries between two accepted ones are declined."""
_WHOLE_SHARE = 0.4
_SEQUENCE_SHARE = 0.6
_TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """Payments that somebody could make with a card, `features` float32[n, F] theirs, accepted or not.

    `cost` is what the fraudster does not get if all are accepted, as a share of the value.
    """

    payments: tuple[Payment, ...]
    cost: float
    features: NDArray[np.float32]


def attempts(
    rehearsal: Rehearsal,
    fraud: Fraud,
    choices: Sequence[Choice],
    allowed: Capabilities,
    count: int,
    cost_max: float,
) -> tuple[Attempt, ...]:
    """Return at most `count` attempts that cost `cost_max` or less; the same seed gives the same.

    What is changed is drawn first, so that a control with few candidates is not
    drowned by one with many.
    """
    rng = np.random.default_rng([allowed.settings.seed, fraud.position, 2])
    affordable = [choice for choice in choices if choice.cost <= cost_max]
    ways: dict[tuple[str, ...], list[Choice]] = {}
    for choice in affordable:
        ways.setdefault(choice.changed, []).append(choice)
    if not ways:
        return ()
    groups = list(ways.values())
    found = []
    for _ in range(count):
        several = allowed.settings.split is not None and rng.random() < _SEQUENCE_SHARE
        draw = _sequence if several else _single
        drawn = draw(fraud, groups[int(rng.integers(len(groups)))], allowed, cost_max, rng)
        if drawn is None:
            continue
        payments, cost = drawn
        with rehearsal.undone(payments):
            found.append(Attempt(tuple(payments), cost, rehearsal.fold(payments)))
    return tuple(found)


_Drawn = tuple[list[Payment], float]


def _single(
    fraud: Fraud, choices: Sequence[Choice], allowed: Capabilities, cost_max: float, rng: np.random.Generator
) -> _Drawn | None:
    """Return one payment, of the whole sum or of what the cost leaves."""
    choice = choices[int(rng.integers(len(choices)))]
    least, most = allowed.amounts(fraud)
    low = max(least, -int(-fraud.value_minor * (1 - cost_max + choice.cost) // 1))
    if low > most:
        return None
    whole = most == low or rng.random() < _WHOLE_SHARE
    amount = most if whole else int(rng.integers(low, most + 1))
    cost = choice.cost + max(0.0, 1 - amount / fraud.value_minor)
    return [replace(choice.payment, amount_minor=amount)], cost


def _sequence(
    fraud: Fraud, choices: Sequence[Choice], allowed: Capabilities, cost_max: float, rng: np.random.Generator
) -> _Drawn | None:
    """Return several payments, equal or not, in even pauses, by one choice or by several of a kind."""
    split, value = allowed.settings.split, fraud.value_minor
    least, _ = allowed.amounts(fraud)
    paces = [pace for pace in _paces(allowed, value, least) if pace.count_max > 1]
    if split is None or not paces:
        return None
    for _ in range(_TRIES):
        pace = paces[int(rng.integers(len(paces)))]
        count = int(rng.integers(2, pace.count_max + 1))
        own = choices[int(rng.integers(len(choices)))]
        cost = own.cost + split.payment_share * (count - 1)
        if cost > cost_max:
            continue
        low = min(value, max(least, count * pace.least, math.ceil(value * (1 - cost_max + cost))))
        taken = value if rng.random() < _WHOLE_SHARE else int(rng.integers(low, value + 1))
        amounts = _parts(taken, count, pace.least, rng)
        mixed = bool(rng.integers(2)) and "time" not in own.changed
        drawn = [choices[int(rng.integers(len(choices)))] if mixed else own for _ in amounts]
        start = own.payment.event_time_us
        payments = [
            replace(choice.payment, amount_minor=amount, event_time_us=start + place * pace.pause_us)
            for place, (choice, amount) in enumerate(zip(drawn, amounts, strict=True))
        ]
        spent = sum(choice.cost * amount for choice, amount in zip(drawn, amounts, strict=True))
        total = sum(amounts)
        cost = spent / value + split.payment_share * (len(amounts) - 1)
        return payments, cost + 1 - total / value
    return None


@dataclass(frozen=True, slots=True)
class _Pace:
    """At most `count_max` payments, `pause_us` apart, each of `least` or more in base currency."""

    pause_us: int
    count_max: int
    least: int


def _paces(allowed: Capabilities, value: int, least: int) -> Iterator[_Pace]:
    """Yield how a value is taken in parts: as a split, and by tries of which one in so many is accepted."""
    settings = allowed.settings
    if settings.split is not None:
        yield _Pace(settings.split.apart, min(settings.split.payments_max, value), 1)
    for times in range(1, PAUSES_MAX + 1):
        accepted_max = (settings.queries - 1) // times + 1
        yield _Pace(settings.query_apart * times, min(accepted_max, value // least), least)


def _parts(total: int, count: int, least: int, rng: np.random.Generator) -> list[int]:
    """Return amounts of `least` or more, above 0, that sum to `total`: equal, or drawn."""
    shares = np.full(count, 1 / count) if rng.integers(2) else rng.dirichlet(np.full(count, 2.0))
    amounts = least + np.floor(shares * (total - count * least)).astype(np.int64)
    amounts[-1] += total - int(amounts.sum())
    return [int(each) for each in amounts]
