"""Honest traffic that attacks are put into: one protocol for a recorded history and a world of our own.

    HonestTraffic: day 0, day 1, …  →  Payments in time order, numbers for tokens
    numbers from `entities[kind]` on are nobody's: there attackers find new devices and merchants

The columns hold what a payment system sends, and no truth; whoever mixes attacks in
knows which rows are whose.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fraud.features.state import Rows
from fraud.records import MISSING_SURROGATE
from fraud.settings import Settings

CARD, MERCHANT, DEVICE = "card", "merchant", "device"
"""Names of the entities that attackers know how to use; a schema needs the first two."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Payments:
    """Columns of n payments in time order, fields as the schema orders them.

    `event_time_us`, `amount_minor` int64[n]; `surrogates` int32[n, E], -1 where not given;
    `numerics` float64[n, K], NaN where not given; `words` int64[n, C], places in
    `HonestTraffic.words`.
    """

    event_time_us: Ints
    surrogates: NDArray[np.int32]
    amount_minor: Ints
    numerics: Floats
    words: Ints

    def __len__(self) -> int:
        return len(self.event_time_us)

    def take(self, order: NDArray[np.intp]) -> Self:
        """Return the rows at these indices, in this order."""
        return type(self)(*(getattr(self, field.name)[order] for field in fields(self)))

    def part(self, start: int, stop: int) -> Self:
        """Return rows `start` to `stop` as views."""
        return type(self)(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> tuple[Self, NDArray[np.intp]]:
        """Return all rows in time order, and for each its place among the parts laid end to end.

        Equal times keep the order of the parts.
        """
        joined = cls(
            *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls))
        )
        order = np.argsort(joined.event_time_us, kind="stable")
        return joined.take(order), order

    @property
    def rows(self) -> Rows:
        """The columns that the kernel folds."""
        return Rows(self.event_time_us, self.amount_minor, self.surrogates, self.numerics)


class HonestTraffic(Protocol):
    """Days of honest payments.

    `settings` are those of a service that takes them, `entities[kind]` is how many
    numbers of a kind honest payments use, `words[field]` the words of a categorical field.
    """

    @property
    def settings(self) -> Settings: ...  # noqa: D102

    @property
    def start_us(self) -> int: ...  # noqa: D102

    @property
    def days(self) -> int: ...  # noqa: D102

    @property
    def entities(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def words(self) -> tuple[tuple[str, ...], ...]: ...  # noqa: D102

    def day(self, index: int) -> Payments:
        """Return the payments of a day; the same ones whenever asked."""
        ...

    def cards(self, index: int) -> Ints:
        """Return the cards that may be stolen on a day: those in use by then."""
        ...

    def merchants(self, index: int) -> Ints:
        """Return the merchants in business on a day, the busiest first, from what was public by then."""
        ...

    def dress(
        self, rng: np.random.Generator, cards: Ints, merchants: Ints, *, near: bool
    ) -> tuple[Floats, Ints]:
        """Return `numerics` and `words` of online payments by others than the owners of these cards.

        `near` hides the distance behind a proxy close to the owner.
        """
        ...

    def token(self, kind: int, number: int) -> str:
        """Return the token that a number stands for."""
        ...


def kind_of(settings: Settings, name: str) -> int | None:
    """Return the place of an entity in the schema, None where it has none."""
    names = settings.schema_.entity_names
    return names.index(name) if name in names else None


def required_kind(settings: Settings, name: str) -> int:
    """Return the place of an entity that attacks cannot do without.

    Raises:
        ValueError: the schema has none of that name.
    """
    kind = kind_of(settings, name)
    if kind is None:
        raise ValueError(f"schema.entities: has no {name}; attackers need one, name it so")
    return kind


def wire_rows(
    traffic: HonestTraffic, ids: Sequence[str], payments: Payments, model: str
) -> Iterator[dict[str, Any]]:
    """Yield payments as a payment system sends them, with tokens and words for numbers."""
    schema, currency = traffic.settings.schema_, traffic.settings.service.currency
    for i, transaction_id in enumerate(ids):
        held = payments.surrogates[i].tolist()
        numbers = payments.numerics[i].tolist()
        yield {
            "transaction_id": transaction_id,
            "event_time_us": int(payments.event_time_us[i]),
            "model": model,
            "entities": {
                name: traffic.token(kind, held[kind])
                for kind, name in enumerate(schema.entity_names)
                if held[kind] != MISSING_SURROGATE
            },
            "amount_minor": int(payments.amount_minor[i]),
            "currency": currency,
            "numerics": {
                name: value
                for name, value in zip(schema.numeric_names, numbers, strict=True)
                if np.isfinite(value)
            },
            "categoricals": {
                name: traffic.words[field][payments.words[i, field]]
                for field, name in enumerate(schema.categorical_names)
            },
        }
