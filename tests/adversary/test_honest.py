"""One suite for all honest traffic, recorded and our own."""

from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fraud.adversary.economy import Economy
from fraud.adversary.honest import HonestTraffic, Payments, wire_rows
from fraud.adversary.recorded import RecordedTraffic, drawn
from fraud.client.scoring import to_message
from fraud.clock import DAY_US
from fraud.errors import InvalidInput
from fraud.serving.intake import TransactionIntake
from fraud.settings import load_settings
from tests.adversary.streams import HANDBOOK, SMALL, recorded, write_history


@pytest.fixture(scope="module", params=["economy", "recorded"])
def traffic(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HonestTraffic:
    return Economy(SMALL) if request.param == "economy" else recorded(tmp_path_factory.mktemp("recorded"))


def test_a_day_holds_its_own_time_in_order_and_repeats(traffic: HonestTraffic) -> None:
    for index in (7, 0, traffic.days - 1):
        day, again = traffic.day(index), traffic.day(index)
        start_us = traffic.start_us + index * DAY_US
        assert len(day) > 100
        assert np.all(np.diff(day.event_time_us) >= 0)
        assert start_us <= day.event_time_us[0]
        assert day.event_time_us[-1] < start_us + DAY_US
        assert np.array_equal(day.surrogates, again.surrogates)
        assert np.array_equal(day.amount_minor, again.amount_minor)


def test_honest_numbers_leave_room_for_those_of_attackers(traffic: HonestTraffic) -> None:
    for index in range(traffic.days):
        assert np.all(traffic.day(index).surrogates < np.array(traffic.entities))
    for kind, first_free in enumerate(traffic.entities):
        tokens = {traffic.token(kind, number) for number in range(first_free + 50)}
        assert len(tokens) == first_free + 50


def test_intake_takes_every_payment(traffic: HonestTraffic) -> None:
    intake = TransactionIntake(traffic.settings)
    day = traffic.day(3)
    ids = [f"p-{number}" for number in range(len(day))]
    for row in wire_rows(traffic, ids, day, "card"):
        transaction = intake.read(to_message(row), traffic.start_us + traffic.days * DAY_US)
        assert transaction.amount_base_minor == row["amount_minor"]


def test_what_attackers_know_was_public_by_then(traffic: HonestTraffic) -> None:
    cards, merchants = traffic.cards(2), traffic.merchants(2)
    assert len(np.unique(cards)) == len(cards) > 0
    assert len(np.unique(merchants)) == len(merchants) > 0
    counts = np.bincount(traffic.day(2).surrogates[:, 1], minlength=traffic.entities[1])[merchants]
    busy, quiet = np.array_split(counts, 2)
    assert busy.sum() > 1.3 * quiet.sum()


def test_other_fields_of_an_injected_payment_fit_the_schema(traffic: HonestTraffic) -> None:
    rng = np.random.default_rng(1)
    cards, merchants = traffic.cards(2)[:20], np.arange(20) + traffic.entities[1] - 10
    numerics, words = traffic.dress(rng, cards, merchants, near=False)
    schema = traffic.settings.schema_
    assert numerics.shape == (20, len(schema.numeric_names))
    assert words.shape == (20, len(schema.categorical_names))


def test_parts_merge_in_order_of_time(traffic: HonestTraffic) -> None:
    parts = [traffic.day(1), traffic.day(0)]
    merged, order = Payments.merged(parts)
    assert np.all(np.diff(merged.event_time_us) >= 0)
    amounts = np.concatenate([part.amount_minor for part in parts])
    assert np.array_equal(merged.amount_minor, amounts[order])


def test_a_recorded_history_is_given_back_but_for_its_frauds(tmp_path: Path) -> None:
    traffic = recorded(tmp_path)
    frame = pl.read_parquet(tmp_path / "transactions.parquet").filter(pl.col("TX_FRAUD") == 0)
    days = [traffic.day(index) for index in range(traffic.days)]
    assert sum(map(len, days)) == len(frame)
    assert sum(int(day.amount_minor.sum()) for day in days) == round(frame["TX_AMOUNT"].sum() * 100)
    first = days[0]
    tokens = [traffic.token(0, number) for number in first.surrogates[:, 0].tolist()]
    assert tokens == frame["CUSTOMER_ID"][: len(first)].cast(pl.String).to_list()


def test_a_share_of_the_cards_keeps_all_their_payments(tmp_path: Path) -> None:
    whole, part = recorded(tmp_path), recorded(tmp_path, cards_share=0.3)
    kept = np.unique(np.concatenate([part.day(index).surrogates[:, 0] for index in range(part.days)]))
    assert 0.2 < len(kept) / len(whole.cards(whole.days)) < 0.4
    for index in (0, 9):
        rows = np.flatnonzero(np.isin(whole.day(index).surrogates[:, 0], kept))
        assert np.array_equal(whole.day(index).amount_minor[rows], part.day(index).amount_minor)


def test_each_seed_draws_the_share_of_other_cards(tmp_path: Path) -> None:
    whole = len(recorded(tmp_path).cards(15))
    cards = [set(recorded(tmp_path, 0.25, seed).cards(15).tolist()) for seed in (1, 2, 5)]
    assert all(0.15 < len(each) / whole < 0.35 for each in cards)
    assert all(len(one & other) < 0.6 * len(one) for one, other in combinations(cards, 2))
    assert cards[0] == set(recorded(tmp_path, 0.25, 1).cards(15).tolist())


def test_the_masks_of_seeds_differ_pairwise_and_each_keeps_the_share() -> None:
    numbers = np.arange(5_000, dtype=np.int32)
    masks = [drawn(numbers, 0.25, seed) for seed in range(1, 9)]
    assert [float(mask.mean()) for mask in masks] == pytest.approx([0.25] * 8, abs=0.02)
    for one, other in combinations(masks, 2):
        assert np.mean(one & other) == pytest.approx(0.25**2, abs=0.015), "drawn independently"
    assert np.array_equal(drawn(numbers[::-1], 0.25, 3), masks[2][::-1])
    assert drawn(numbers, 1.0, 1).all()
    assert drawn(numbers[:0], 0.25, 1).tolist() == []


def test_a_history_of_frauds_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "transactions.parquet"
    write_history(path, Economy(SMALL)).with_columns(TX_FRAUD=pl.lit(1, pl.Int8)).write_parquet(path)
    with pytest.raises(InvalidInput, match="no genuine payment"):
        RecordedTraffic(load_settings(HANDBOOK, {}), path)
    with pytest.raises(ValueError, match="cards_share"):
        RecordedTraffic(load_settings(HANDBOOK, {}), path, 0.0)
