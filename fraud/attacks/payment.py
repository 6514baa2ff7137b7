"""Raw payments as a fraudster sends them, and what of a fraud he may change at which cost.

    a fraud as it was ─ capabilities (`[attacks]`) ─▶ choices: who, which words, which numbers, how late
      × amounts ─▶ payments, valid by construction ─ kernel ─▶ features

Attacks change raw fields and nothing else; features follow from them by the fold that
scored the fraud. This is the threat model of Feedzai (arXiv 2307.15677), with costs as
in arXiv 2208.13058 and 1912.01149. A price is a share of the value that the card would
have paid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fraud.clock import DAY_US
from fraud.features.state import Rows
from fraud.settings import Settings
from fraud.settings.attacks import EntityControl, Follows, WordControl

AMOUNTS_MIN = 8
"""Amounts that are tried of a choice, at least: `combinations` leaves room for so many."""
UNSEEN = -2
"""Stands for an entity that was never seen; it gets a number where the payment is tried."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A raw payment, fields in the schema's order: what intake makes a row of.

    `amount_minor` is in base currency; `numerics` are NaN and `words` "" where not given.
    """

    event_time_us: int
    surrogates: tuple[int, ...]
    amount_minor: int
    numerics: tuple[float, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fraud:
    """A fraud as it stands in the log; `arrival_us` is when it came in."""

    position: int
    arrival_us: int
    payment: Payment

    @property
    def value_minor(self) -> int:
        """What the card is worth to whoever stole it."""
        return self.payment.amount_minor


@dataclass(frozen=True, slots=True)
class Choice:
    """A payment of the full amount with some fields changed, what that costs, and which fields they are."""

    payment: Payment
    cost: float
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fields:
    """Values of some numeric and categorical fields, by their places in the schema."""

    numerics: Mapping[int, float]
    words: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Reach:
    """What is within reach of every fraudster: known entities by kind, int64[k], and words by field.

    `brought` are the values that come with an entity, by kind and entity, of kinds that bring some.
    """

    entities: Mapping[int, NDArray[np.int64]]
    words: Mapping[int, Sequence[str]]
    brought: Mapping[int, Mapping[int, Fields]]


class Capabilities:
    """`[attacks]` for one schema: which choices there are for a fraud."""

    def __init__(self, settings: Settings) -> None:
        attacks, schema = settings.attacks, settings.schema_
        self.settings = attacks
        self.choices_max = attacks.combinations // AMOUNTS_MIN
        names, words, numerics = schema.entity_names, schema.categorical_names, schema.numeric_names
        entities = attacks.entities
        if entities is None:
            entities = {name: EntityControl() for name in names[1:]}
        categorical = attacks.categorical
        if categorical is None:
            categorical = {name: WordControl() for name in words if name not in attacks.brought}
        self.entities = {names.index(name): control for name, control in entities.items()}
        self.words = {words.index(name): control for name, control in categorical.items()}
        self.numerics = {numerics.index(name): control for name, control in attacks.numeric.items()}
        self.least_share = 1.0 if attacks.amount is None else attacks.amount.least_share
        self.most_share = 1.0 if attacks.amount is None else attacks.amount.most_share
        self.amount_max = schema.amount.max_minor
        self._schema = schema
        self._names = (names, words, numerics)

    def choices(self, fraud: Fraud, reach: Reach, seed: int) -> list[Choice]:
        """Return what may be changed of a fraud beside amount and number of payments, cheapest first.

        The first is the fraud as it was. There are at most `choices_max`, the
        cheapest ones; the same seed gives the same.
        """
        rng = np.random.default_rng([seed, fraud.position])
        axes = [list(self._entity(kind, fraud, reach, rng)) for kind in self.entities]
        axes += [list(self._word(field, fraud, reach)) for field in self.words]
        axes += [list(self._numeric(field, fraud)) for field in self.numerics]
        found = [Choice(fraud.payment, 0.0)]
        for axis in axes:
            found = [
                choice if edit is None else edit(choice) for choice, edit in product(found, [None, *axis])
            ]
            found = sorted(found, key=lambda choice: choice.cost)[: self.choices_max]
        late = [self._wait(choice, wait_us) for choice in found for wait_us in self.waits()]
        return sorted(late, key=lambda choice: choice.cost)[: self.choices_max]

    def waits(self) -> list[int]:
        """Return how long a fraudster may wait, in µs, 0 first."""
        pace = self.settings.pace
        return [0] if pace is None else list(range(0, pace.wait_max + 1, pace.step))

    def amounts(self, fraud: Fraud) -> tuple[int, int]:
        """Return the least and the greatest amount of a payment, base currency."""
        value = fraud.value_minor
        most = min(int(value * self.most_share), self.amount_max)
        return min(max(1, -int(-value * self.least_share // 1)), most), most

    def _wait(self, choice: Choice, wait_us: int) -> Choice:
        pace = self.settings.pace
        if pace is None or not wait_us:
            return choice
        later = replace(choice.payment, event_time_us=choice.payment.event_time_us + wait_us)
        cost = choice.cost + pace.day_share * wait_us / DAY_US
        return Choice(later, cost, (*choice.changed, "time"))

    def _entity(self, kind: int, fraud: Fraud, reach: Reach, rng: np.random.Generator) -> Iterator["Edit"]:
        control = self.entities[kind]
        own = fraud.payment.surrogates[kind]
        if control.new:
            others = [UNSEEN]
        else:
            known = reach.entities[kind]
            known = known[known != own]
            drawn = (
                rng.choice(known, min(control.candidates, len(known)), replace=False) if len(known) else known
            )
            others = [int(each) for each in drawn]
        price, sets = self._price(control, fraud), self._sets(control)
        for other in others:
            its = reach.brought[kind][other] if control.brings else Fields({}, {})
            fields = Fields({**sets, **its.numerics}, its.words)
            yield Edit(self._names[0][kind], price, fields, entity=(kind, other))

    def _word(self, field: int, fraud: Fraud, reach: Reach) -> Iterator["Edit"]:
        control = self.words[field]
        words = control.words or reach.words.get(field, ())[: control.candidates]
        price = self._price(control, fraud)
        for word in words:
            if word != fraud.payment.words[field]:
                yield Edit(self._names[1][field], price, Fields(self._sets(control), {field: word}))

    def _numeric(self, field: int, fraud: Fraud) -> Iterator["Edit"]:
        control = self.numerics[field]
        low, high = self._within(field, control.low), self._within(field, control.high)
        for value in sorted({low, (low + high) / 2, high} - {fraud.payment.numerics[field]}):
            fields = Fields({**self._sets(control), field: value}, {})
            yield Edit(self._names[2][field], self._price(control, fraud), fields)

    def _sets(self, control: Follows) -> dict[int, float]:
        numerics = self._names[2]
        return {
            numerics.index(name): self._within(numerics.index(name), value)
            for name, value in control.sets.items()
        }

    def _within(self, field: int, value: float) -> float:
        """Return the nearest value that the schema takes."""
        bounds = self._schema.numeric[self._names[2][field]]
        low = -np.inf if bounds.min is None else bounds.min
        high = np.inf if bounds.max is None else bounds.max
        return float(min(max(value, low), high))

    @staticmethod
    def _price(control: Follows, fraud: Fraud) -> float:
        return control.share + control.minor / max(1, fraud.value_minor)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change, of an entity or of a field, with the fields that follow from it."""

    name: str
    cost: float
    fields: Fields
    entity: tuple[int, int] | None = None

    def __call__(self, choice: Choice) -> Choice:
        """Return the choice with this change as well."""
        payment = choice.payment
        surrogates, words, numerics = list(payment.surrogates), list(payment.words), list(payment.numerics)
        if self.entity is not None:
            surrogates[self.entity[0]] = self.entity[1]
        for place, word in self.fields.words.items():
            words[place] = word
        for place, value in self.fields.numerics.items():
            numerics[place] = value
        changed = replace(payment, surrogates=tuple(surrogates), words=tuple(words), numerics=tuple(numerics))
        return Choice(changed, choice.cost + self.cost, (*choice.changed, self.name))


def rows_of(payments: Sequence[Payment]) -> Rows:
    """Return payments as columns for the kernel, in order."""
    n = len(payments)
    return Rows(
        np.array([it.event_time_us for it in payments], np.int64),
        np.array([it.amount_minor for it in payments], np.int64),
        np.array([it.surrogates for it in payments], np.int32).reshape(n, -1),
        np.array([it.numerics for it in payments], np.float64).reshape(n, -1),
    )
