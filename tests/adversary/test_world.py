import numpy as np
import pytest

from fraud.adversary.attackers import RING, SPREE
from fraud.adversary.population import HONEST, NO_DEVICE, ONLINE, Rows
from fraud.adversary.world import NEVER_US, START_US, Day, LabelFeed, World, WorldSettings, wire_rows
from fraud.clock import DAY_US
from fraud.records import LabelValue

SETTINGS = WorldSettings(seed=3, days=12, change_day=6, transactions_per_day=4_000, cards=4_000)


@pytest.fixture(scope="module")
def days() -> list[Day]:
    world = World(SETTINGS)
    return [world.day(index) for index in range(SETTINGS.days)]


def _column(days: list[Day], name: str) -> np.ndarray:
    return np.concatenate([getattr(day.rows, name) for day in days])


def _frauds(days: list[Day], strategy: int) -> Rows:
    rows = Rows.joined([day.rows for day in days])
    return rows.take(np.flatnonzero(rows.strategy == strategy))


def test_the_same_settings_give_the_same_days_in_any_order(days: list[Day]) -> None:
    again = World(SETTINGS)
    for index in (9, 2):
        day = again.day(index)
        assert day.transaction_ids == days[index].transaction_ids
        assert np.array_equal(day.label_time_us, days[index].label_time_us)
        for name in ("event_time_us", "card", "device", "amount_minor", "distance_km", "strategy"):
            assert np.array_equal(getattr(day.rows, name), getattr(days[index].rows, name)), name


def test_another_seed_gives_another_day(days: list[Day]) -> None:
    other = World(WorldSettings(seed=4, days=12, change_day=6, transactions_per_day=4_000, cards=4_000)).day(
        0
    )
    assert not np.array_equal(other.rows.amount_minor[:100], days[0].rows.amount_minor[:100])


def test_a_day_holds_its_own_time_in_order(days: list[Day]) -> None:
    for day in days:
        times = day.rows.event_time_us
        assert np.all(np.diff(times) >= 0)
        assert START_US + day.index * DAY_US <= times[0]
        assert times[-1] < START_US + (day.index + 1) * DAY_US


def test_traffic_and_the_share_of_frauds_are_those_asked_for(days: list[Day]) -> None:
    total = sum(len(day) for day in days)
    frauds = sum(int(day.is_fraud.sum()) for day in days)
    assert total / SETTINGS.days == pytest.approx(SETTINGS.transactions_per_day, rel=0.05)
    assert frauds / total == pytest.approx(SETTINGS.fraud_share, rel=0.2)


def test_rings_begin_on_the_day_of_the_change_and_sprees_dwindle(days: list[Day]) -> None:
    before, after = days[: SETTINGS.change_day], days[SETTINGS.change_day :]
    assert len(_frauds(before, RING)) == 0
    share = len(_frauds(after, SPREE)) / sum(int(day.is_fraud.sum()) for day in after)
    assert share < 2 * SETTINGS.spree_share_after
    assert len(_frauds([days[SETTINGS.change_day]], RING)) > 10


def test_a_spree_is_large_and_far_and_a_ring_pays_what_customers_pay(days: list[Day]) -> None:
    honest, spree, ring = (_frauds(days, strategy) for strategy in (HONEST, SPREE, RING))
    usual = np.median(honest.amount_minor)
    assert np.median(spree.amount_minor) > 2 * usual
    assert 0.7 * usual < np.median(ring.amount_minor) < 1.4 * usual
    online = honest.distance_km[honest.channel == ONLINE]
    assert np.median(spree.distance_km) > 5 * np.median(online)
    assert 0.7 * np.median(online) < np.median(ring.distance_km) < 1.4 * np.median(online)


def test_one_device_of_a_ring_carries_many_cards_and_no_card_twice_a_day(days: list[Day]) -> None:
    ring = _frauds(days, RING)
    assert NO_DEVICE not in ring.device
    devices, payments = np.unique(ring.device, return_counts=True)
    cards = [len(np.unique(ring.card[ring.device == device])) for device in devices]
    assert np.mean(cards) > 5
    assert np.mean(cards) > 0.95 * payments.mean()
    honest = _frauds(days, HONEST)
    assert not np.isin(devices, honest.device).any()


def test_frauds_become_known_within_the_label_delay_or_never(days: list[Day]) -> None:
    is_fraud = np.concatenate([day.is_fraud for day in days])
    label = np.concatenate([day.label for day in days])
    delay = np.concatenate([day.label_time_us for day in days]) - _column(days, "event_time_us")
    known = label == LabelValue.FRAUD
    assert not known[~is_fraud].any()
    assert delay[known].min() >= SETTINGS.label_delay_min_us
    assert delay[known].max() <= SETTINGS.label_delay_max_us
    assert 0 < np.mean(~known[is_fraud]) < 3 * SETTINGS.unreported_share
    cleared = label == LabelValue.LEGITIMATE
    assert 0 < cleared.sum() < 0.01 * len(label)
    assert not cleared[is_fraud].any()


def test_the_feed_hands_out_each_verdict_once_and_none_early(days: list[Day]) -> None:
    feed = LabelFeed()
    for day in days[:3]:
        feed.expect(day)
    seen: dict[str, LabelValue] = {}
    for hour in range(5 * 24):
        now_us = START_US + hour * DAY_US // 24
        for source, labels in feed.due(now_us).items():
            for label in labels:
                assert label.label_time_us <= now_us
                assert label.transaction_id not in seen
                assert source == ("chargeback" if label.value is LabelValue.FRAUD else "analyst")
                seen[label.transaction_id] = label.value
    assert len(seen) == sum(int((day.label_time_us != NEVER_US).sum()) for day in days[:3])


def test_rows_go_out_with_names_and_without_a_device_where_there_is_none(days: list[Day]) -> None:
    day = days[0]
    for row, device in zip(wire_rows(day, range(50), "card"), day.rows.device, strict=False):
        assert ("device" in row["entities"]) == (device != NO_DEVICE)
        assert row["categoricals"]["channel"] in ("pos", "online", "phone")
        assert row["amount_minor"] >= 100
