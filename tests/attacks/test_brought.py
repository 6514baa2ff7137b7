"""What belongs to an entity comes with it: who goes to another merchant carries that merchant's fields."""

import tomllib
from pathlib import Path

import polars as pl
import pytest

from fraud.attacks.campaign import reach_of
from fraud.attacks.payment import Capabilities, Choice, Fraud, Payment
from fraud.settings import Settings, settings_from

TEXT = """
[schema.entities.card]
[schema.entities.merchant]
[schema.numeric.rating]
[schema.numeric.items]
[schema.categorical.country]
[schema.categorical.channel]
[schema.categorical.category]
[models.card]
[attacks.entities.merchant]
brings = ["country", "category", "rating"]
sets = { items = 1.0 }
"""
# Merchant, country, category, rating, and how often; 1 was once abroad, 3 has no country.
SEEN = [
    (1, "BE", "food", 4.0, 5),
    (1, "FR", "food", 4.0, 1),
    (1, "BE", "toys", 4.0, 2),
    (2, "FR", "toys", 3.5, 3),
    (3, None, "cars", None, 2),
    (4, "NL", "food", 2.0, 1),
    (4, "DE", "food", 2.0, 1),
]
OWN = {1: ("BE", "food", 4.0), 2: ("FR", "toys", 3.5), 3: ("", "cars", None), 4: ("DE", "food", 2.0)}
FRAUD = Fraud(9, 9, Payment(0, (7, 2), 5_000, (3.5, 2.0), ("FR", "web", "toys")))


def settings_of(text: str = TEXT) -> Settings:
    return settings_from(tomllib.loads(text), {}, Path("fraud.toml"))


def traffic() -> pl.LazyFrame:
    rows = [row[:4] for row in SEEN for _ in range(row[4])]
    merchants, countries, categories, ratings = zip(*rows, strict=True)
    n = len(rows)
    return pl.LazyFrame(
        {
            "entity_card": list(range(n)),
            "entity_merchant": merchants,
            "numeric_rating": ratings,
            "numeric_items": [1.0] * n,
            "categorical_country": countries,
            "categorical_channel": ["web", "pos"] * (n // 2) + ["web"] * (n % 2),
            "categorical_category": categories,
        }
    )


def choices(text: str = TEXT, *, backwards: bool = False) -> list[Choice]:
    settings, seen = settings_of(text), traffic()
    reach = reach_of(seen.reverse() if backwards else seen, settings)
    return Capabilities(settings).choices(FRAUD, reach, seed=1)


@pytest.mark.parametrize("backwards", [False, True])
def test_another_merchant_brings_its_words_and_numbers(*, backwards: bool) -> None:
    found = choices(backwards=backwards)
    assert {choice.payment.surrogates[1] for choice in found} == {1, 2, 3, 4}
    for choice in found:
        payment = choice.payment
        merchant = payment.surrogates[1]
        rating = payment.numerics[0]
        assert (payment.words[0], payment.words[2], None if rating != rating else rating) == OWN[merchant]
        assert payment.numerics[1] == (2.0 if merchant == 2 else 1.0), "beside it, what is set"


def test_what_belongs_to_nobody_is_changed_as_before() -> None:
    names = {name for choice in choices() for name in choice.changed}
    assert names == {"merchant", "channel", "time"}
    assert {choice.payment.words[1] for choice in choices()} == {"web", "pos"}
    plain = choices(TEXT.replace('brings = ["country", "category", "rating"]', ""))
    names = {name for choice in plain for name in choice.changed}
    assert names == {"merchant", "country", "channel", "category", "time"}
    moved = [choice.payment for choice in plain if choice.changed == ("merchant",)]
    assert {payment.words for payment in moved} == {FRAUD.payment.words}
