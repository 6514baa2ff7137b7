import json
import math

import numpy as np
import pytest

from fraud.bundle.bundle import Bundle
from fraud.bundle.reasons import describe_number, reasons_of
from fraud.bundle.references import References
from tests.bundle.made import CHANNELS, FEATURES, made_bundle, made_rows


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return made_bundle()


def test_reference_shares_of_a_column_and_of_scores_sum_to_one(bundle: Bundle) -> None:
    references = bundle.references
    for column in references.columns:
        assert column.expected().sum() == pytest.approx(1)
        assert len(column.shares) == len(column.edges) + 1
        assert all(share > 0 for share in column.shares)
    for categorical in references.categoricals:
        assert sum(categorical.shares) + categorical.other + categorical.missing == pytest.approx(1)
    assert sum(references.score_shares) == pytest.approx(1)
    assert len(references.score_shares) == len(references.score_edges) + 1


def test_the_reference_rows_observed_again_are_what_was_expected(bundle: Bundle) -> None:
    rows, _ = made_rows(7)
    for place, column in enumerate(bundle.references.columns):
        np.testing.assert_allclose(column.observed(rows[:, place]), column.expected())


def test_a_column_without_any_value_is_described_too() -> None:
    matrix = np.full((10, 2), np.nan, np.float32)
    references = References.of(["x"], {"word": ()}, matrix, np.full(10, 0.5))
    (column,), (word,) = references.columns, references.categoricals
    assert (column.minimum, column.maximum, column.missing) == (None, None, 1.0)
    assert (word.words, word.missing) == ((), 1.0)
    assert References.from_dict(json.loads(json.dumps(references.to_dict()))) == references


def test_references_survive_storage(bundle: Bundle) -> None:
    stored = json.loads(json.dumps(bundle.references.to_dict()))
    assert References.from_dict(stored) == bundle.references


def test_reasons_are_the_largest_contributions_above_zero_strongest_first(bundle: Bundle) -> None:
    rows, _ = made_rows(8, 200)
    contributions = bundle.contributions(rows)[:, :-1]
    for row, reasons in zip(contributions, reasons_of(bundle, rows, 2), strict=True):
        expected = sorted((value for value in row if value > 0), reverse=True)[:2]
        assert [reason.contribution for reason in reasons] == expected


def test_a_reason_says_which_way_the_value_lies_and_what_is_typical(bundle: Bundle) -> None:
    fraud = np.array([[450, 9, np.nan, 2]], np.float32)
    reasons = {reason.feature: reason for reason in reasons_of(bundle, fraud, 4)[0]}
    count, amount, channel = (reasons[name] for name in ("card_count_1h", "amount", "channel"))
    assert count.code == "CARD_COUNT_1H_HIGH"
    assert count.text == "card: 9 transactions within 1h; typical 0–2"
    assert (amount.code, channel.code) == ("AMOUNT_HIGH", "CHANNEL_WORD")
    assert amount.text.startswith("amount: 450; typical ")
    assert channel.text.startswith("channel: moto; ")


def test_every_reason_has_a_code_of_its_feature_and_a_text(bundle: Bundle) -> None:
    rows, _ = made_rows(9, 300)
    codes = {reason.code for row in reasons_of(bundle, rows, 9) for reason in row}
    allowed = {f"{name.upper()}_{way}" for name in FEATURES for way in ("HIGH", "LOW", "TYPICAL", "MISSING")}
    assert codes <= allowed | {"CHANNEL_WORD", "CHANNEL_MISSING"}
    assert not any(math.isnan(reason.contribution) for row in reasons_of(bundle, rows, 9) for reason in row)
    assert reasons_of(bundle, rows[:0], 3) == []
    assert CHANNELS.words == bundle.references.categoricals[0].words


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("card_small_count_1h", "card: 4 small transactions within 1h"),
        ("card_declined_count_1d", "card: 4 declined within 1d"),
        ("card_amount_over_previous", "card: amount is 4 times the one before"),
        ("card_steps", "card: 4 small steps in a row led up to the amount"),
    ],
)
def test_what_somebody_tries_out_is_told_in_words(name: str, text: str) -> None:
    values = np.array([0, 0, 0, 1], np.float32)
    (column,) = References.of([name], {}, values[:, None], np.full(4, 0.5)).columns
    assert describe_number(column, 4) == ("HIGH", f"{text}; typical 0–1")
