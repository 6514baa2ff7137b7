"""The upper bound: an attacker who knows the trees, and looks for the cheapest payment that is accepted.

    choices, cheapest first ─▶ for each, the amounts between which no tree changes its answer
      ─ kernel ─▶ features ─ bundle ─▶ accepted? ─▶ cheapest ─▶ every such amount above it
    the whole sum in n equal payments, each folded before the next

The margin is a step function of the amount: it changes only where a feature that
follows the amount passes a split value, so one amount below each split stands for all.
Features of the event itself are linear in its amount, but for the run of small
steps: it jumps where the amount reaches the one before and where it is no small step
any more, and one amount below each jump is tried as well. Nothing else is searched in
steps of its own: who, which words, how late are tried as `Capabilities.choices` gives
them. Whoever knows the trees pays at least this; nobody who sees accept or decline
alone can do better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.payment import AMOUNTS_MIN, Capabilities, Choice, Fraud, Payment
from fraud.attacks.rehearsal import Rehearsal
from fraud.attacks.target import Target

_BLOCK = 32
_SPLIT_CHOICES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Evasion:
    """Payments that were all accepted. `cost` is what the fraudster does not get, as a share of the value.

    `features` float32[n, F] are those of the payments, `taken_minor` their sum.
    """

    payments: tuple[Payment, ...]
    cost: float
    changed: tuple[str, ...]
    features: NDArray[np.float32]

    @property
    def taken_minor(self) -> int:
        """What was stolen, base currency."""
        return sum(payment.amount_minor for payment in self.payments)


def cheapest(
    target: Target, rehearsal: Rehearsal, fraud: Fraud, choices: Sequence[Choice], allowed: Capabilities
) -> Evasion | None:
    """Return the cheapest evasion found; None where nothing within reach is accepted."""
    found: Evasion | None = None
    most = max(AMOUNTS_MIN, allowed.settings.combinations // max(1, len(choices)))
    for start in range(0, len(choices), _BLOCK):
        block = choices[start : start + _BLOCK]
        if found is not None and block[0].cost >= found.cost:
            break
        better = _best_of(target, rehearsal, fraud, block, allowed, most)
        if better is not None and (found is None or better.cost < found.cost):
            found = better
    return _split(target, rehearsal, fraud, choices, allowed, found)


def steps(target: Target, rehearsal: Rehearsal, payment: Payment, least: int, most: int) -> NDArray[np.int64]:
    """Return the amounts of `least` to `most` that stand for all others, rising int64[k], both included."""
    if least >= most:
        return np.array([most], np.int64)
    ends = np.array([least, most], np.int64)
    low, high = rehearsal.peek_amounts(payment, ends).astype(np.float64)
    amounts = [ends, rehearsal.jumps(payment)]
    for column, values in target.thresholds.items():
        slope = (high[column] - low[column]) / (most - least)
        if not np.isfinite(slope) or slope == 0:
            continue
        at = (values.astype(np.float64) - low[column]) / slope + least
        edge = np.ceil(at[(at > least) & (at <= most + 1)]).astype(np.int64)
        amounts += [edge - 1, edge - 2]  # features are float32: the split may lie one unit lower
    every = np.unique(np.concatenate(amounts))
    return every[(every >= least) & (every <= most)]


def _best_of(
    target: Target,
    rehearsal: Rehearsal,
    fraud: Fraud,
    choices: Sequence[Choice],
    allowed: Capabilities,
    most: int,
) -> Evasion | None:
    """Return the cheapest accepted payment of some choices."""
    least, greatest = allowed.amounts(fraud)
    every = [steps(target, rehearsal, choice.payment, least, greatest) for choice in choices]
    tried = [amounts[np.unique(np.linspace(0, len(amounts) - 1, most).astype(np.intp))] for amounts in every]
    found: Evasion | None = None
    parts = [_try(rehearsal, choice, amounts) for choice, amounts in zip(choices, tried, strict=True)]
    words = [choice.payment.words for choice, part in zip(choices, parts, strict=True) for _ in part]
    accepted = target.accepts(np.concatenate(parts), words)
    start = 0
    for place, (choice, amounts) in enumerate(zip(choices, tried, strict=True)):
        good = accepted[start : start + len(amounts)]
        start += len(amounts)
        if not good.any():
            continue
        best = int(amounts[good].max())
        rest = every[place][every[place] > best]
        if len(rest):
            features = _try(rehearsal, choice, rest)
            good = target.accepts(features, [choice.payment.words] * len(rest))
            best = int(rest[good].max()) if good.any() else best
        cost = choice.cost + max(0.0, 1 - best / fraud.value_minor)
        if found is None or cost < found.cost:
            found = _one(rehearsal, fraud, choice, best, cost)
    return found


def _try(rehearsal: Rehearsal, choice: Choice, amounts: NDArray[np.int64]) -> NDArray[np.float32]:
    return rehearsal.peek_amounts(choice.payment, amounts)


def _one(rehearsal: Rehearsal, fraud: Fraud, choice: Choice, amount: int, cost: float) -> Evasion:
    payment = replace(choice.payment, amount_minor=amount)
    changed = (*choice.changed, *(("amount",) if amount != fraud.value_minor else ()))
    return Evasion((payment,), cost, changed, rehearsal.peek([payment]))


def _split(
    target: Target,
    rehearsal: Rehearsal,
    fraud: Fraud,
    choices: Sequence[Choice],
    allowed: Capabilities,
    found: Evasion | None,
) -> Evasion | None:
    """Return the sum in several payments where that is cheaper than `found`."""
    control = allowed.settings.split
    if control is None:
        return found
    for count in range(2, min(control.payments_max, fraud.value_minor) + 1):
        for choice in choices[:_SPLIT_CHOICES]:
            cost = choice.cost + control.payment_share * (count - 1)
            if found is not None and cost >= found.cost:
                break
            payments = parts_of(choice.payment, count, control.apart)
            with rehearsal.undone(payments):
                features = rehearsal.fold(payments)
            if target.accepts(features, [payment.words for payment in payments]).all():
                found = Evasion(tuple(payments), cost, (*choice.changed, "split"), features)
    return found


def parts_of(payment: Payment, count: int, apart_us: int) -> list[Payment]:
    """Return a payment in `count` parts, as equal as minor units allow; their sum is the whole."""
    each, more = divmod(payment.amount_minor, count)
    return [
        replace(
            payment,
            amount_minor=each + (place < more),
            event_time_us=payment.event_time_us + place * apart_us,
        )
        for place in range(count)
    ]
