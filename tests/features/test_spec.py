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
    amount = {"amount": "amount in base currency"}
    assert spec.indices(("card_sum_1d", "amount"), amount).tolist() == [4, 0]
    with pytest.raises(ConfigError, match="amount meant something else to the model"):
        spec.indices(["card_sum_1d", "amount"], {"amount": "amount in cents"})


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


def test_features_that_came_later_change_the_fingerprint_of_those_who_declare_them_only() -> None:
    plain = {"windows": ["1h"], "fraud_rates": [{"width": "7d", "delay": "7d"}]}
    first = "ddb3056ff1d793815d1a6eeae75b75ce14141ac073a3d9ac84fa5d748c6869a1"
    assert card_spec(**plain).fingerprint == first, "snapshots of before these features must go on"
    small = {"aggregates": ["count", "sum", "small_count"]}
    declaring = [
        card_spec(**plain, **small, small_amount_minor=100),
        card_spec(**plain, **small, small_amount_minor=101),
        card_spec(**plain, aggregates=["count", "sum", "declined_count"]),
        card_spec(**plain, steps={}),
        card_spec(**plain, steps={"ratio": 1.5}),
        card_spec(**plain, steps={"within": "1h"}),
    ]
    assert len({first, *(spec.fingerprint for spec in declaring)}) == len(declaring) + 1


def test_what_shows_somebody_trying_things_out_stands_in_names_where_it_belongs() -> None:
    tried = ["declined_count", "small_count", "count"]
    spec = card_spec(
        windows=["1h"], aggregates=tried, small_amount_minor=100, steps={}, since=["previous", "first"]
    )
    assert spec.names == (
        *("amount", "card_count_1h", "card_small_count_1h", "card_declined_count_1h"),
        *("card_since_previous_s", "card_age_s", "card_amount_over_previous", "card_steps"),
    )
    assert spec.counts_declines
    assert not card_spec(aggregates=["declined_count"]).counts_declines
