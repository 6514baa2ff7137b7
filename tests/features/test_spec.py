from pathlib import Path
from typing import Any

import pytest

from fraud.errors import ConfigError
from fraud.features.spec import FeatureSpec
from fraud.settings import settings_from
from tests.features.making import card_spec, spec_of


def configured(**features: Any) -> FeatureSpec:
    tables = {
        "schema": {"entities": {"card": {}, "merchant": {}}, "numeric": {"distance": {}}},
        "models": {"card": {}},
        "features": features,
    }
    return FeatureSpec.of(settings_from(tables, {}, Path("fraud.toml")))


def test_names_stand_in_a_fixed_order_whatever_the_order_in_the_file() -> None:
    spec = configured(
        calendar=["night", "hour"],
        entities={
            "merchant": {"fraud_rates": [{"width": "7d", "delay": "7d"}]},
            "card": {
                "windows": ["1h", "24h"],
                "aggregates": ["sum", "count"],
                "distinct": ["merchant"],
                "since": ["first", "previous"],
            },
        },
    )
    assert spec.names == (
        *("amount", "hour", "night", "distance"),
        *("card_count_1h", "card_sum_1h", "card_distinct_merchant_1h"),
        *("card_count_1d", "card_sum_1d", "card_distinct_merchant_1d"),
        *("card_since_previous_s", "card_age_s"),
        "merchant_fraud_rate_7d_delay_7d",
    )
    assert spec.reach_us == 15 * 86_400_000_000


def test_selection_keeps_the_order_of_the_spec_and_refuses_patterns_without_a_match() -> None:
    spec = card_spec(windows=["1h", "24h"])
    assert spec.select(["*_sum_*", "amount"]) == ("amount", "card_sum_1h", "card_sum_1d")
    assert spec.indices(("card_sum_1d", "amount")).tolist() == [4, 0]
    with pytest.raises(ConfigError, match=r"'card_sum_7d' matches none"):
        spec.select(["*", "card_sum_7d"])
    with pytest.raises(ConfigError, match="does not hold card_sum_7d"):
        spec.indices(["card_sum_7d"])


def test_widths_are_spelled_in_their_largest_units() -> None:
    assert card_spec(windows=["24h", "90m"], aggregates=["count"]).names == (
        *("amount", "card_count_1d", "card_count_1h30m"),
    )


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="card_count_1h is produced twice"):
        spec_of({"card": {"windows": ["1h"]}}, numeric_names=("card_count_1h",))


def test_the_fingerprint_changes_with_what_shapes_state_and_with_nothing_else() -> None:
    def card(windows: list[Any], more: dict[str, Any] | None = None, **spec: Any) -> str:
        return spec_of({"card": {"windows": windows, **(more or {})}}, **spec).fingerprint

    plain = card(["1h"])
    assert plain == card(["1h"], calendar=("hour",), timezone="Asia/Tokyo", numeric_names=("ratio",))
    others = [
        card(["24h"]),
        card([{"width": "1h", "hop": "1m"}]),
        card(["1h"], {"aggregates": ["count"]}),
        card(["1h"], {"fraud_rates": [{"width": "7d", "delay": "0s"}]}),
        card(["1h"], {"fraud_rates": [{"width": "7d", "delay": "1d"}]}),
        card(["1h"], entities_max=65),
        card(["1h"], distinct_buckets=65),
        spec_of({"iban": {"windows": ["1h"]}}).fingerprint,
    ]
    assert len({plain, *others}) == len(others) + 1
