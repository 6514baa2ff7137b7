from dataclasses import replace

import numpy as np
import pytest

from fraud.adversary.economy import NO_DEVICE, ONLINE, Economy, EconomySettings
from fraud.adversary.honest import Payments

SETTINGS = EconomySettings(
    seed=2, days=84, cards=2_000, merchants=150, transactions_per_day=3_000, growth=0.004, turnover=0.003
)


@pytest.fixture(scope="module")
def moving() -> list[Payments]:
    economy = Economy(SETTINGS)
    return [economy.day(index) for index in range(SETTINGS.days)]


@pytest.fixture(scope="module")
def standing() -> list[Payments]:
    economy = Economy(SETTINGS.stationary())
    return [economy.day(index) for index in range(SETTINGS.days)]


def _numbers(days: list[Payments], kind: int) -> set[int]:
    return set(np.concatenate([day.surrogates[:, kind] for day in days]).tolist())


def test_traffic_is_what_was_asked_for(standing: list[Payments]) -> None:
    assert np.mean([len(day) for day in standing]) == pytest.approx(SETTINGS.transactions_per_day, rel=0.05)


def test_weeks_have_a_shape_and_stationary_ones_do_not(
    moving: list[Payments], standing: list[Payments]
) -> None:
    def by_weekday(days: list[Payments]) -> np.ndarray:
        counts = np.array([len(day) for day in days], np.float64).reshape(-1, 7)
        shape: np.ndarray = np.median(counts / counts.mean(axis=1, keepdims=True), axis=0)
        return shape

    assert by_weekday(moving)[5] > 1.3 * by_weekday(moving)[6]
    assert np.ptp(by_weekday(standing)) < 0.08


def test_an_economy_grows_and_a_stationary_one_does_not(
    moving: list[Payments], standing: list[Payments]
) -> None:
    def growth(days: list[Payments]) -> float:
        return sum(map(len, days[-28:])) / sum(map(len, days[:28]))

    assert growth(moving) > 1.15
    assert growth(standing) == pytest.approx(1.0, abs=0.03)


def test_cards_and_merchants_come_and_go(moving: list[Payments], standing: list[Payments]) -> None:
    for kind in (0, 1):
        first, last = _numbers(moving[:14], kind), _numbers(moving[-14:], kind)
        assert len(last - first) > 0.1 * len(first)
        assert len(first - last) > 0.1 * len(first)
    first, last = _numbers(standing[:14], 0), _numbers(standing[-14:], 0)
    assert len(first ^ last) < 0.1 * len(first)


def test_drift_moves_amounts_and_channels_and_standing_still_moves_none(standing: list[Payments]) -> None:
    fast = Economy(replace(SETTINGS, inflation=0.005, online_drift=0.01))

    def moved(first: list[Payments], last: list[Payments]) -> tuple[float, float]:
        def amount(days: list[Payments]) -> float:
            return float(np.median(np.concatenate([day.amount_minor for day in days])))

        def online(days: list[Payments]) -> float:
            return float(np.mean(np.concatenate([day.words[:, 0] for day in days]) == ONLINE))

        return amount(last) / amount(first), online(last) - online(first)

    amount, online = moved([fast.day(index) for index in range(7)], [fast.day(77 + i) for i in range(7)])
    assert amount > 1.3
    assert online > 0.1
    amount, online = moved(standing[:7], standing[-7:])
    assert amount == pytest.approx(1.0, abs=0.03)
    assert abs(online) < 0.02


def test_days_have_hours_sprees_and_trips(moving: list[Payments]) -> None:
    hours = np.concatenate([day.event_time_us for day in moving]) // 3_600_000_000 % 24
    counts = np.bincount(hours, minlength=24)
    assert counts[12] > 10 * counts[3]
    busiest = max(int(np.bincount(day.surrogates[:, 0]).max()) for day in moving)
    assert busiest > 15
    away = np.concatenate([day.numerics[:, 0] for day in moving]) > 300
    assert 0.01 < away.mean() < 0.06


def test_only_purchases_online_name_a_device(moving: list[Payments]) -> None:
    day = moving[3]
    assert np.array_equal(day.surrogates[:, 2] != NO_DEVICE, day.words[:, 0] == ONLINE)


def test_the_state_has_room_for_all_entities_and_those_of_attackers() -> None:
    for cards in (100, 80_000):
        economy = Economy(replace(SETTINGS, days=2, cards=cards))
        assert economy.settings.features.entities_max >= 2 * max(economy.entities)


def test_another_seed_gives_another_day() -> None:
    one, other = Economy(SETTINGS).day(0), Economy(replace(SETTINGS, seed=3)).day(0)
    assert not np.array_equal(one.amount_minor[:50], other.amount_minor[:50])
