"""An attacker who knows the trees, and looks for the cheapest payment that is accepted.

    choices, cheapest first ─▶ for each, the amounts between which no tree changes its answer
      ─ kernel ─▶ features ─ bundle ─▶ accepted? ─▶ cheapest ─▶ every such amount above it
    the whole sum in n equal payments, each folded before the next

The margin is a step function of the amount: it changes only where a feature that
follows the amount passes a split value, so one amount below each split stands for all.
Features of the event itself are linear in its amount, but for the run of small
steps: it jumps where the amount reaches the one before and where it is no small step
any more, and one amount below each jump is tried as well. Nothing else is searched in
steps of its own: who, which words, how late are tried as `Capabilities.choices` gives
them.

What is found is accepted; that nothing is cheaper is shown of what was tried alone. The bundle is asked
about `combinations` single payments at most: half of them are some amounts of each choice, so that one
whose amounts are all stopped is given up, and the rest are amounts above those accepted, the cheapest
first. Where the rest does not reach, a cheaper amount may be missed. Sums in parts come on top: equal
parts, `split.apart` from one another, by the cheapest choices. A prober has other ways, unequal parts in
shorter pauses, and may pay less: the better of both is `campaign.Result.best`, and whoever searches on
pays that or less.
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
    least, greatest = allowed.amounts(fraud)
    left = allowed.settings.combinations
    most = max(AMOUNTS_MIN, left // (2 * max(1, len(choices))))
    met: list[_Met] = []
    for start in range(0, len(choices), _BLOCK):
        block = choices[start : start + _BLOCK]
        if block[0].cost >= min((it.cost for it in met), default=np.inf):
            break
        payments = [choice.payment for choice in block]
        every = steps(target, rehearsal, payments, least, greatest)
        tried = [
            amounts[np.unique(np.linspace(0, len(amounts) - 1, most).astype(np.intp))] for amounts in every
        ]
        left -= sum(map(len, tried))
        best = _greatest(target, rehearsal, payments, tried)
        met += [
            _Met(choice, amounts, amount, _cost(choice, amount, fraud))
            for choice, amounts, amount in zip(block, every, best, strict=True)
        ]
    found = _cheaper(target, rehearsal, fraud, [it for it in met if it.amount], left)
    single = None if found is None else _one(rehearsal, fraud, found)
    return _split(target, rehearsal, fraud, choices, allowed, single)


def steps(
    target: Target, rehearsal: Rehearsal, payments: Sequence[Payment], least: int, most: int
) -> list[NDArray[np.int64]]:
    """Return, for each payment, the amounts of `least` to `most` that stand for all others.

    Each int64[k], rising, both ends included.
    """
    if least >= most:
        return [np.array([most], np.int64)] * len(payments)
    ends = np.array([least, most], np.int64)
    features = rehearsal.peek_amounts(payments, [ends] * len(payments)).astype(np.float64)
    low, high = features[0::2], features[1::2]
    with np.errstate(invalid="ignore"):
        slopes = (high - low) / (most - least)
    moves = np.isfinite(slopes) & (slopes != 0)
    amounts = [[ends, rehearsal.jumps(payment)] for payment in payments]
    for column, values in target.thresholds.items():
        for place in np.flatnonzero(moves[:, column]).tolist():
            at = (values - low[place, column]) / slopes[place, column] + least
            edge = np.ceil(at[(at > least) & (at <= most + 1)]).astype(np.int64)
            amounts[place] += [edge - 1, edge - 2]  # features are float32: the split may lie one unit lower
    every = [np.unique(np.concatenate(each)) for each in amounts]
    return [each[(each >= least) & (each <= most)] for each in every]


@dataclass(frozen=True, slots=True, eq=False)
class _Met:
    """A choice, the amounts that stand for all of it, the greatest accepted so far (0: none) and its cost."""

    choice: Choice
    every: NDArray[np.int64]
    amount: int
    cost: float


def _cheaper(
    target: Target, rehearsal: Rehearsal, fraud: Fraud, met: Sequence[_Met], left: int
) -> _Met | None:
    """Return the cheapest accepted payment of choices that have one, after a look at `left` others."""
    if not met:
        return None
    best = min(met, key=lambda it: it.cost)
    above = [it.every[it.every > it.amount] for it in met]
    of = np.repeat(np.arange(len(met)), [len(amounts) for amounts in above])
    amounts = np.concatenate(above)
    costs = np.array([it.choice.cost for it in met])[of] + np.maximum(0.0, 1 - amounts / fraud.value_minor)
    order = np.argsort(costs, kind="stable")
    order = np.sort(order[costs[order] < best.cost][: max(0, left)])
    rest = [amounts[order[of[order] == place]] for place in range(len(met))]
    found = _greatest(target, rehearsal, [it.choice.payment for it in met], rest)
    better = [
        replace(it, amount=amount, cost=_cost(it.choice, amount, fraud))
        for it, amount in zip(met, found, strict=True)
        if amount
    ]
    return min([best, *better], key=lambda it: it.cost)


def _greatest(
    target: Target,
    rehearsal: Rehearsal,
    payments: Sequence[Payment],
    amounts: Sequence[NDArray[np.int64]],
) -> list[int]:
    """Return the greatest amount of each payment, rising int64[k], that is accepted; 0 for none."""
    sizes = np.array([len(each) for each in amounts])
    if not sizes.any():
        return [0] * len(payments)
    of = np.repeat(np.arange(len(payments)), sizes)
    features = rehearsal.peek_amounts(payments, amounts)
    accepted = target.accepts(features, [payment.words for payment in payments], of)
    found = np.zeros(len(payments), np.int64)
    found[of[accepted]] = np.concatenate(amounts)[accepted]  # of several, numpy keeps the last
    return [int(each) for each in found]


def _cost(choice: Choice, amount: int, fraud: Fraud) -> float:
    return choice.cost + max(0.0, 1 - amount / fraud.value_minor) if amount else float("inf")


def _one(rehearsal: Rehearsal, fraud: Fraud, met: _Met) -> Evasion:
    payment = replace(met.choice.payment, amount_minor=met.amount)
    changed = (*met.choice.changed, *(("amount",) if met.amount != fraud.value_minor else ()))
    return Evasion((payment,), met.cost, changed, rehearsal.peek([payment]))


def _split(
    target: Target,
    rehearsal: Rehearsal,
    fraud: Fraud,
    choices: Sequence[Choice],
    allowed: Capabilities,
    found: Evasion | None,
) -> Evasion | None:
    """Return the sum in several payments where that is cheaper than `found`; `choices` rise in cost."""
    control = allowed.settings.split
    if control is None:
        return found
    for count in range(2, min(control.payments_max, fraud.value_minor) + 1):
        more = control.payment_share * (count - 1)
        tried = [it for it in choices[:_SPLIT_CHOICES] if found is None or it.cost + more < found.cost]
        if not tried:
            continue
        every = [parts_of(choice.payment, count, control.apart) for choice in tried]
        seen = []
        for payments in every:
            with rehearsal.undone(payments):
                seen.append(rehearsal.fold(payments))
        words = [payment.words for payments in every for payment in payments]
        accepted = target.accepts(np.concatenate(seen), words).reshape(len(tried), count).all(axis=1)
        if accepted.any():
            place = int(np.argmax(accepted))
            choice = tried[place]
            found = Evasion(tuple(every[place]), choice.cost + more, (*choice.changed, "split"), seen[place])
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
