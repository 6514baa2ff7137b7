"""Small specs and rows for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fraud.features.definitions import AGGREGATES, TALLIES
from fraud.features.spec import FeatureSpec
from fraud.features.state import FeatureState, Rows
from fraud.labels.standing import ConflictRule
from fraud.records import Entry, Label, LabelsSubmitted, LabelValue
from fraud.settings.features import EntityFeatures, FraudRate

SECOND = 1_000_000
START = 1_700_000_000 * SECOND  # a multiple of 100 s, so hops of 10 s start here
RULE = ConflictRule("LABELER_PRIORITY", ("chargeback", "analyst", "customer"))
EVERYTHING = AGGREGATES + TALLIES


def rates_reach_us(entities: Sequence[EntityFeatures]) -> int:
    rates: list[FraudRate] = [rate for entity in entities for rate in entity.fraud_rates]
    return max((rate.width + rate.delay + rate.hop for rate in rates), default=0)


def spec_of(entities: dict[str, dict[str, Any]], **more: Any) -> FeatureSpec:
    features = tuple(EntityFeatures.model_validate(entity) for entity in entities.values())
    settings: dict[str, Any] = {"numeric_names": (), "entities_max": 64, "distinct_buckets": 64, **more}
    return FeatureSpec(
        entity_names=tuple(entities), entities=features, reach_us=rates_reach_us(features), **settings
    )


def card_spec(**card: Any) -> FeatureSpec:
    return spec_of({"card": card})


def rows_of(*events: tuple[float, int] | tuple[float, int, tuple[int, ...]]) -> Rows:
    """Rows from (seconds after START, amount) with surrogate 0, or with all surrogates given."""
    surrogates = [event[2] if len(event) == 3 else (0,) for event in events]
    return Rows(
        np.array([START + round(event[0] * SECOND) for event in events], np.int64),
        np.array([event[1] for event in events], np.int64),
        np.array(surrogates, np.int32).reshape(len(events), -1),
        np.empty((len(events), 0)),
    )


def read(state: FeatureState, name: str, seconds: float, amount: int = 100, who: int = 0) -> float:
    """Read one feature without folding anything."""
    surrogates = (who,) + (0,) * (len(state.spec.entity_names) - 1)
    features = state.peek(rows_of((seconds, amount, surrogates))).features
    return float(features[0, state.spec.places[name]])


def labels_entry(
    position: int, *labels: tuple[str, LabelValue] | tuple[str, LabelValue, int], source: str = "chargeback"
) -> Entry:
    made = tuple(Label(label[0], label[1], label[2] if len(label) == 3 else START) for label in labels)
    return Entry(position, START, LabelsSubmitted(f"batch-{position}", 0, source, "tests", made, "digest"))


def labels_of(entry: Entry) -> LabelsSubmitted:
    assert isinstance(entry.event, LabelsSubmitted)
    return entry.event
