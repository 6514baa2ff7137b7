"""What a feature means, as a text that stands in logs, archives and manifests."""

from pathlib import Path
from typing import Any

import pytest

from fraud.features.spec import FeatureSpec, heading_of
from fraud.records import NO_END, Heading
from fraud.settings import Settings, settings_from

CARD = {
    "windows": ["1h", {"width": "7d", "hop": "12h"}],
    "aggregates": ["sum", "small_count", "declined_count"],
    "small_amount_minor": 500,
    "distinct": ["merchant"],
    "since": ["previous", "first"],
    "steps": {"ratio": 1.5, "within": "2h"},
    "fraud_rates": [{"width": "7d", "delay": "3d"}],
}


def settings(
    features: dict[str, Any] | None = None, service: dict[str, Any] | None = None, **card: Any
) -> Settings:
    tables = {
        "service": {"timezone": "Europe/Brussels", **(service or {})},
        "schema": {
            "entities": {"card": {}, "merchant": {}},
            "numeric": {"distance": {}},
            "categorical": {"channel": {}},
        },
        "models": {"card": {}},
        "features": {
            "calendar": ["hour", "night"],
            "age_max": "90d",
            "entities": {"card": CARD | card},
            **(features or {}),
        },
    }
    return settings_from(tables, {}, Path("fraud.toml"))


def test_definitions_are_never_reworded() -> None:
    """Another text makes another feature of what services have logged and learned from."""
    spec = FeatureSpec.of(settings())
    assert spec.definitions == {
        "amount": "amount in base currency",
        "hour": "hour in Europe/Brussels",
        "night": "night from 0 to 6 in Europe/Brussels",
        "distance": "numeric field",
        "card_sum_1h": "sum of card over 1h by 5m",
        "card_small_count_1h": "small_count up to 500 of card over 1h by 5m",
        "card_declined_count_1h": "declined_count of card over 1h by 5m",
        "card_distinct_merchant_1h": "distinct merchant of card over 1h by 5m in 64 buckets",
        "card_sum_7d": "sum of card over 7d by 12h",
        "card_small_count_7d": "small_count up to 500 of card over 7d by 12h",
        "card_declined_count_7d": "declined_count of card over 7d by 12h",
        "card_distinct_merchant_7d": "distinct merchant of card over 7d by 12h in 64 buckets",
        "card_since_previous_s": "seconds since previous of card",
        "card_age_s": "seconds since first of card up to 90d",
        "card_amount_over_previous": "amount over previous of card",
        "card_steps": "steps of card up to 1500 thousandths within 2h",
        "card_fraud_rate_7d_delay_3d": "fraud rate of card over 7d by 1d, 3d ago",
    }
    assert tuple(spec.definitions) == spec.names


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        ({"small_amount_minor": 600}, {"card_small_count_1h", "card_small_count_7d"}),
        ({"steps": {"ratio": 1.6, "within": "2h"}}, {"card_steps"}),
        ({"steps": {"ratio": 1.5, "within": "3h"}}, {"card_steps"}),
        ({"fraud_rates": [{"width": "7d", "delay": "3d", "hop": "12h"}]}, {"card_fraud_rate_7d_delay_3d"}),
        ({"service": {"timezone": "Asia/Tokyo"}}, {"hour", "night"}),
        ({"features": {"night_hours": [22, 6]}}, {"night"}),
        ({"features": {"age_max": "91d"}}, {"card_age_s"}),
        (
            {"features": {"distinct_buckets": 128}},
            {"card_distinct_merchant_1h", "card_distinct_merchant_7d"},
        ),
        (
            {"windows": ["1h", {"width": "7d", "hop": "6h"}]},
            {f"card_{it}_7d" for it in ("sum", "small_count", "declined_count", "distinct_merchant")},
        ),
        ({"features": {"entities_max": 64}}, set()),
    ],
)
def test_what_changes_a_meaning_changes_that_definition_and_no_other(
    other: dict[str, Any], changed: set[str]
) -> None:
    was, now = FeatureSpec.of(settings()).definitions, FeatureSpec.of(settings(**other)).definitions
    assert was.keys() == now.keys()
    assert {name for name in was if was[name] != now[name]} == changed


def test_rows_are_those_of_now_behind_the_last_other_heading() -> None:
    spec, own = FeatureSpec.of(settings()), heading_of(settings())
    assert own == Heading(("distance",), ("channel",), tuple(spec.definitions.items()))
    other = heading_of(settings(small_amount_minor=600))
    moved = Heading(own.numerics, own.categoricals, own.features[::-1])
    words = Heading(own.numerics, ("channel", "os"), own.features)
    assert spec.held_since([]) == 1
    assert spec.held_since([(1, own), (5, words)]) == 1
    assert spec.held_since([(1, own), (5, other), (9, own), (12, words)]) == 9
    assert spec.held_since([(1, moved), (7, own)]) == 7
    assert spec.held_since([(1, own), (7, other)]) == NO_END + 1 == 2**63 - 1
