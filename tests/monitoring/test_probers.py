"""Known attackers raise a pattern of probing among honest payers, who raise none by themselves.

2,000 honest payments a day of our own economy ─ a service that stops large ones ─▶ counts of four weeks
  the day after: the same, with some ten cards a day in the hands of one strategy
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fraud.adversary.choosers import Scripted
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.gang import Gang
from fraud.adversary.honest import Payments
from fraud.adversary.statements import Statements
from fraud.adversary.strategy import Strategy, known_strategies, read_strategies
from fraud.adversary.tariff import Tariff
from fraud.clock import DAY_US, HOUR_US, MINUTE_US
from fraud.monitoring.probing import Key, Seen, count, judge, kinds_of
from fraud.records import MISSING_SURROGATE
from fraud.settings.monitoring import Probing

QUIET_DAYS, JUDGED_DAYS, CARDS_A_DAY = 28, 10, 10.0
SPANS = 144
LIMIT_MINOR = 25_000
"""The service stops payments from here on: one honest payment in a hundred, and what a walker looks for."""
RULES = Probing()
HELD_OUT = Path(__file__).parents[2] / "benchmarks" / "held_out.toml"
STRATEGIES = {each.name: each for each in (*known_strategies(), *read_strategies(HELD_OUT))}


def economy_of(seed: int) -> Economy:
    days = QUIET_DAYS + JUDGED_DAYS
    return Economy(
        EconomySettings(seed=seed, days=days, cards=2_400, merchants=300, transactions_per_day=2_000)
    )


ECONOMY = economy_of(3)
NAMES = ECONOMY.settings.schema_.entity_names


def counted(honest: Payments, *others: Payments, limit_minor: int = LIMIT_MINOR) -> dict[Key, Seen]:
    """Count a day by pattern and kind, as the retrainer does; `limit_minor` holds for others."""
    payments, order = Payments.merged([honest, *others])
    limits = np.where(order < len(honest), LIMIT_MINOR, limit_minor)
    rows = pl.DataFrame(
        {
            "position": np.arange(len(payments)),
            "event_time_us": payments.event_time_us,
            "amount_base_minor": payments.amount_minor,
            "stopped": payments.amount_minor >= limits,
            **{f"entity_{name}": payments.surrogates[:, kind] for kind, name in enumerate(NAMES)},
        }
    )
    rows = rows.with_columns(
        pl.when(pl.col(f"entity_{name}") >= 0).then(pl.col(f"entity_{name}")) for name in NAMES
    )
    return {
        (pattern, kind): seen
        for kind, patterns in kinds_of(RULES, NAMES).items()
        for pattern, seen in count(rows, f"entity_{kind}", patterns, RULES).items()
    }


TODAY = ECONOMY.day(QUIET_DAYS)


@pytest.fixture(scope="module")
def quiet() -> list[dict[Key, Seen]]:
    """Counts of the honest days before today, the newest first."""
    return [counted(ECONOMY.day(day)) for day in reversed(range(QUIET_DAYS))]


def raised(now: dict[Key, Seen], before: Sequence[dict[Key, Seen]]) -> set[Key]:
    return {(it.pattern, it.kind) for it in judge(now, before, RULES) if it.alarming}


def played(strategy: Strategy, limit_minor: int = LIMIT_MINOR, seed: int = 0) -> Payments:
    """What a gang pays today that came yesterday, and steals some ten cards a day."""
    tariff = Tariff.of(ECONOMY.settings)
    gang = Gang(ECONOMY, Scripted([strategy]), tariff, cards_per_day=CARDS_A_DAY, seed=seed)
    statements = Statements(ECONOMY)
    statements.note(ECONOMY.day(QUIET_DAYS - 2))
    parts, start_us = [], ECONOMY.start_us + (QUIET_DAYS - 1) * DAY_US
    for place in range(2 * SPANS):
        from_us, until_us = (start_us + each * DAY_US // SPANS for each in (place, place + 1))
        payments = gang.plan(QUIET_DAYS - 1 + place // SPANS, from_us, until_us, statements).payments
        gang.see([f"{place}-{i}" for i in range(len(payments))], payments.amount_minor < limit_minor)
        parts.append(payments)
    return Payments.merged(parts[SPANS:])[0]


def walked(start_minor: int) -> Payments:
    """What is paid today with ten cards that double the sum, or halve the distance to the limit."""
    passed, stopped, amounts = 0, 0, [start_minor]
    for _ in range(6):
        last = amounts[-1]
        passed, stopped = (last, stopped) if last < LIMIT_MINOR else (passed, last)
        amounts.append((passed + stopped) // 2 if stopped else 2 * passed)
    rng, n = np.random.default_rng(8), len(amounts)
    parts = []
    for card in rng.choice(ECONOMY.cards(QUIET_DAYS), int(CARDS_A_DAY), replace=False).tolist():
        begin_us = ECONOMY.start_us + QUIET_DAYS * DAY_US + int(rng.integers(8, 18)) * HOUR_US
        surrogates = np.tile(np.array([card, 7, MISSING_SURROGATE], np.int32), (n, 1))
        times, words = begin_us + 40 * MINUTE_US * np.arange(n), np.zeros((n, len(ECONOMY.words)), np.int64)
        parts.append(Payments(times, surrogates, np.array(amounts, np.int64), np.zeros((n, 1)), words))
    return Payments.merged(parts)[0]


CARD_LADDER, CARD_TRIAL = ("ladder", "card"), ("trial", "card")
CARD_DECLINES, CARD_SMALL = ("declines", "card"), ("small", "card")


@pytest.mark.parametrize(
    ("name", "limit_minor", "expected"),
    [
        ("amount_ladder", LIMIT_MINOR, {CARD_LADDER}),
        # Where the limit is near he falls back and is stopped again, and gives the card up.
        ("amount_ladder", 10_000, {CARD_DECLINES}),
        ("card_testing", LIMIT_MINOR, {CARD_TRIAL}),
        ("bin_attack", LIMIT_MINOR, {CARD_TRIAL, CARD_SMALL}),
        # Whoever sends all parts before the first answer is stopped again and again.
        ("remote_access", LIMIT_MINOR, {CARD_DECLINES, ("declines", "device")}),
    ],
)
def test_a_strategy_that_probes_raises_its_pattern(
    name: str, limit_minor: int, expected: set[Key], quiet: list[dict[Key, Seen]]
) -> None:
    found = [
        raised(counted(TODAY, played(STRATEGIES[name], limit_minor, seed), limit_minor=limit_minor), quiet)
        for seed in range(3)
    ]
    assert all(each <= expected for each in found)
    assert found.count(expected) >= 2, "a gang of ten cards may have a bad day"


@pytest.mark.parametrize("start_minor", [6_000, 24_000, 90_000])
def test_who_halves_the_distance_to_the_limit_climbs_a_ladder(
    start_minor: int, quiet: list[dict[Key, Seen]]
) -> None:
    assert raised(counted(TODAY, walked(start_minor)), quiet) == {CARD_LADDER, CARD_DECLINES}


@pytest.mark.parametrize("name", ["low_and_slow", "new_device", "merchant_collusion", "split_payments"])
def test_who_gets_through_and_looks_for_nothing_is_no_prober(name: str, quiet: list[dict[Key, Seen]]) -> None:
    assert raised(counted(TODAY, played(STRATEGIES[name])), quiet) == set()


@pytest.mark.parametrize("seed", [3, 4])
def test_honest_payers_raise_nothing(seed: int) -> None:
    economy = economy_of(seed)
    days = [counted(economy.day(day)) for day in range(QUIET_DAYS + JUDGED_DAYS)]
    for day in range(QUIET_DAYS, len(days)):
        assert raised(days[day], days[day - QUIET_DAYS : day][::-1]) == set(), day
