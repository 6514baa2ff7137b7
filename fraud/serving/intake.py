"""Checks a transaction against the operator's schema and turns it into a record.

Tokens of entities leave here as they are stored: nothing behind it sees others.

Every refusal names the field, what is wrong with it and what to do. The happy
path is the hot one, so it only compares; messages are made when they are needed.
"""

import math
import re

from fraud.clock import EARLIEST_US, microseconds_wanted
from fraud.errors import InvalidInput
from fraud.eventlog.entity_key import EntityKey
from fraud.features.state import NUMERIC_MAX
from fraud.labels.batches import ID_LENGTH_MAX
from fraud.records import Transaction
from fraud.serving.card_numbers import looks_like_card_number
from fraud.settings import Settings
from fraud.v1.transaction_pb2 import Transaction as WireTransaction

_CURRENCY = re.compile(r"[A-Z]{3}")
_CARD_STARTS = frozenset("0123456789 -")


class TransactionIntake:
    """Reads wire transactions by one schema; decided once, at start."""

    def __init__(self, settings: Settings) -> None:
        schema = settings.schema_
        self._schema = schema
        self._models = frozenset(settings.models)
        self._base_currency = settings.service.currency
        self._entities = [(name, field.required) for name, field in schema.entities.items()]
        self._entity_names = frozenset(schema.entities)
        self._numerics = list(schema.numeric.items())
        self._categoricals = list(schema.categorical.items())
        self._amount_max = schema.amount.max_minor
        self._token_length_max = schema.token_length_max
        self._future_us = schema.future_tolerance
        self._check_cards = not schema.allow_card_numbers
        key = EntityKey.of(settings)
        self._stored = key.stored if key.fingerprint else None

    def read(self, wire: WireTransaction, now_us: int) -> Transaction:
        """Return the record of a transaction.

        Raises:
            InvalidInput: a field is missing, unknown or out of bounds.
        """
        transaction_id = wire.transaction_id
        if not transaction_id or len(transaction_id) > ID_LENGTH_MAX:
            raise InvalidInput(
                "transaction_id", f"has {len(transaction_id)} characters", f"send 1 to {ID_LENGTH_MAX}"
            )
        if wire.model not in self._models:
            allowed = ", ".join(sorted(self._models))
            raise InvalidInput("model", f"{wire.model!r} is not hosted here", f"send one of: {allowed}")
        event_time_us = wire.event_time_us
        if not EARLIEST_US <= event_time_us <= now_us + self._future_us:
            raise self._bad_time(event_time_us, now_us)
        return Transaction(
            transaction_id,
            event_time_us,
            wire.model,
            self._read_entities(wire),
            wire.amount_minor,
            wire.currency,
            self._read_amount(wire),
            self._read_numerics(wire),
            self._read_categoricals(wire),
        )

    def _bad_time(self, event_time_us: int, now_us: int) -> InvalidInput:
        wanted = microseconds_wanted(event_time_us)
        if event_time_us < EARLIEST_US:
            return InvalidInput("event_time_us", f"{event_time_us} is before 2000", wanted)
        ahead_s = (event_time_us - now_us) / 1e6
        tolerance_s = self._future_us / 1e6
        return InvalidInput(
            "event_time_us",
            f"lies {ahead_s:.0f} s in the future",
            f"{wanted}, at most {tolerance_s:.0f} s ahead (schema.future_tolerance)",
        )

    def _read_amount(self, wire: WireTransaction) -> int:
        if wire.currency == self._base_currency:
            amount = wire.amount_minor
            if wire.HasField("amount_base_minor") and wire.amount_base_minor != amount:
                raise InvalidInput(
                    "amount_base_minor",
                    f"differs from amount_minor though the currency is the base currency {wire.currency}",
                    "leave it out",
                )
        else:
            if not _CURRENCY.fullmatch(wire.currency):
                raise InvalidInput(
                    "currency", f"{wire.currency!r} is no ISO 4217 code", "send one like 'EUR'"
                )
            if not wire.HasField("amount_base_minor"):
                raise InvalidInput(
                    "amount_base_minor",
                    f"is missing for an amount in {wire.currency}",
                    f"send the amount in {self._base_currency} as well",
                )
            amount = wire.amount_base_minor
            if wire.amount_minor < 0:
                raise InvalidInput(
                    "amount_minor", f"{wire.amount_minor} is negative", "send minor units from 0 up"
                )
        if not 0 <= amount <= self._amount_max:
            problem = "is negative" if amount < 0 else "is above schema.amount.max_minor"
            raise InvalidInput(
                "amount_minor", f"{amount} {problem}", f"send minor units from 0 to {self._amount_max}"
            )
        return amount

    def _read_entities(self, wire: WireTransaction) -> tuple[str | None, ...]:
        given = wire.entities
        tokens: list[str | None] = []
        found = 0
        for name, required in self._entities:
            token = given.get(name) if name in given else None
            if token is None:
                if required:
                    raise InvalidInput(f"entities.{name}", "is missing", "send its token")
            else:
                found += 1
                self.check_token(name, token)
                if self._stored is not None:
                    token = self._stored(name, token)
            tokens.append(token)
        if found != len(given):
            raise _unknown("entities", given, self._entity_names)
        return tuple(tokens)

    def check_token(self, name: str, token: str) -> None:
        """Refuse a token of an entity that no transaction could carry.

        Raises:
            InvalidInput: it is empty, too long, or a card number in clear.
        """
        if not 0 < len(token) <= self._token_length_max:
            raise InvalidInput(
                f"entities.{name}",
                f"has {len(token)} characters",
                f"send 1 to {self._token_length_max} (schema.token_length_max)",
            )
        # Nearly all tokens begin with a letter, and are looked at no further.
        if self._check_cards and token[0] in _CARD_STARTS and looks_like_card_number(token):
            raise InvalidInput(
                f"entities.{name}",
                "looks like a card number in clear",
                "send a token instead (or set schema.allow_card_numbers)",
            )

    def _read_numerics(self, wire: WireTransaction) -> tuple[float, ...]:
        given = wire.numerics
        values: list[float] = []
        found = 0
        for name, field in self._numerics:
            if name not in given:
                if field.required:
                    raise InvalidInput(f"numerics.{name}", "is missing", "send a number")
                values.append(math.nan)
                continue
            value = given[name]
            found += 1
            if not -NUMERIC_MAX <= value <= NUMERIC_MAX:
                raise _no_float32(f"numerics.{name}", value)
            if (field.min is not None and value < field.min) or (field.max is not None and value > field.max):
                raise InvalidInput(
                    f"numerics.{name}", f"{value} is out of bounds", f"send {field.min} to {field.max}"
                )
            values.append(value)
        if found != len(given):
            raise _unknown("numerics", given, self._schema.numeric)
        return tuple(values)

    def _read_categoricals(self, wire: WireTransaction) -> tuple[str, ...]:
        given = wire.categoricals
        words: list[str] = []
        found = 0
        for name, field in self._categoricals:
            if name not in given:
                if field.required:
                    raise InvalidInput(f"categoricals.{name}", "is missing", "send a word")
                words.append("")
                continue
            word = given[name]
            found += 1
            if not 0 < len(word) <= field.length_max:
                raise InvalidInput(
                    f"categoricals.{name}",
                    f"has {len(word)} characters",
                    f"send 1 to {field.length_max} (schema.categorical.{name}.length_max), or leave it out",
                )
            words.append(word)
        if found != len(given):
            raise _unknown("categoricals", given, self._schema.categorical)
        return tuple(words)


def _no_float32(field: str, value: float) -> InvalidInput:
    if not math.isfinite(value):
        return InvalidInput(field, f"is {value}", "send a finite number, or leave it out")
    remedy = f"send a number within ±{NUMERIC_MAX:.7g}, or leave it out"
    return InvalidInput(field, f"{value} does not fit float32", remedy)


def _unknown(where: str, given: object, allowed: object) -> InvalidInput:
    assert hasattr(given, "__iter__")
    assert hasattr(allowed, "__iter__")
    names = sorted(set(given) - set(allowed))
    known = ", ".join(sorted(allowed)) or "none"
    return InvalidInput(f"{where}.{names[0]}", "is not in the schema", f"send only: {known}", place=where)
