import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.adversary.choosers import EpsilonGreedy, Evolution, Scripted
from fraud.adversary.economy import Economy
from fraud.adversary.gang import Attempts, Gang
from fraud.adversary.held_card import HeldCard
from fraud.adversary.honest import HonestTraffic, wire_rows
from fraud.adversary.statements import Statements
from fraud.adversary.strategy import Strategy, known_strategies
from fraud.adversary.tariff import Purse, Tariff
from fraud.client.scoring import to_message
from fraud.clock import DAY_US, HOUR_US, MINUTE_US
from fraud.errors import ConfigError
from fraud.serving.intake import TransactionIntake
from fraud.settings import Settings
from fraud.settings.load import settings_from
from tests.adversary.streams import HANDBOOK, SMALL, recorded

ECONOMY = Economy(SMALL)
TARIFF = Tariff.of(ECONOMY.settings)
ROUNDS = 4
BUST_OUT = Strategy(
    name="bust_out",
    access="opened",
    probes=3,
    probe_minor=2_000,
    probe_gap_minutes=1_440,
    amount_minor=90_000,
)
BY_NAME = {strategy.name: strategy for strategy in known_strategies()}


class Tape:
    """Plays a gang against answers by a rule, and keeps what it tried."""

    def __init__(self, traffic: HonestTraffic, gang: Gang, approve_share: float, seed: int = 1) -> None:
        self.gang = gang
        self.rounds: list[tuple[Attempts, np.ndarray]] = []
        rng = np.random.default_rng(seed)
        statements = Statements(traffic)
        for day in range(traffic.days):
            statements.note(traffic.day(day))
            for place in range(ROUNDS):
                from_us = traffic.start_us + day * DAY_US + place * DAY_US // ROUNDS
                attempts = gang.plan(day, from_us, from_us + DAY_US // ROUNDS, statements)
                times = attempts.payments.event_time_us
                assert np.all((times >= from_us) & (times < from_us + DAY_US // ROUNDS))
                assert np.all(np.diff(times) >= 0)
                approved = rng.random(len(times)) < approve_share
                gang.see([f"{day}-{place}-{i}" for i in range(len(times))], approved)
                self.rounds.append((attempts, approved))

    def column(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(attempts.payments, name) for attempts, _ in self.rounds])

    @property
    def approved(self) -> np.ndarray:
        return np.concatenate([approved for _, approved in self.rounds])

    @property
    def is_fraud(self) -> np.ndarray:
        return np.concatenate([attempts.is_fraud for attempts, _ in self.rounds])


def _gang(chosen: list[Strategy], *, traffic: HonestTraffic = ECONOMY, cards: float = 4.0) -> Gang:
    return Gang(traffic, Scripted(chosen), Tariff.of(traffic.settings), cards_per_day=cards, seed=3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.floats(0, 1), st.integers(0, 7))
def test_money_is_conserved_to_the_cent(seed: int, approve_share: float, mutations: int) -> None:
    rng = np.random.default_rng(seed)
    pool = [
        strategy.mutated(rng, f"{strategy.name}~{n}")
        for strategy in known_strategies()
        for n in range(mutations)
    ]
    gang = _gang([*known_strategies(), BUST_OUT, *pool])
    tape = Tape(ECONOMY, gang, approve_share, seed)
    amounts, approved = tape.column("amount_minor")[tape.is_fraud], tape.approved[tape.is_fraud]
    purse = gang.purse
    assert purse.attempts == len(amounts)
    assert purse.approved == approved.sum()
    assert purse.attempted_minor == amounts.sum()
    assert purse.stolen_minor == amounts[approved].sum()
    assert purse.profit_minor == purse.stolen_minor - purse.discount_minor - purse.spent_minor
    assert 0 <= purse.discount_minor <= purse.stolen_minor
    assert purse.access_minor > 0
    if approve_share == 0:
        assert purse.profit_minor == -purse.access_minor


def test_what_cards_brought_sums_to_what_the_gang_has() -> None:
    class Told(Scripted):
        profits = 0

        def reward(self, strategy: Strategy, profit_minor: int, rng: np.random.Generator) -> None:
            super().reward(strategy, profit_minor, rng)
            self.profits += profit_minor

    chooser = Told(known_strategies())
    gang = Gang(ECONOMY, chooser, Tariff.of(ECONOMY.settings), cards_per_day=4.0, seed=3)
    Tape(ECONOMY, gang, 0.7)
    held = sum(card.purse.profit_minor for card in gang._held)
    assert chooser.profits != 0
    assert chooser.profits + held == gang.purse.profit_minor


@pytest.mark.parametrize("source", ["economy", "recorded"])
def test_intake_takes_every_attempt_of_known_and_mutated_strategies(source: str, tmp_path: Path) -> None:
    traffic = ECONOMY if source == "economy" else recorded(tmp_path)
    rng = np.random.default_rng(9)
    mutants = [strategy.mutated(rng, f"{strategy.name}~1") for strategy in known_strategies()]
    mule = Strategy(name="mule", merchant="mule")
    gang = _gang([*known_strategies(), *mutants, mule, BUST_OUT], traffic=traffic, cards=10.0)
    tape = Tape(traffic, gang, 0.8)
    intake = TransactionIntake(traffic.settings)
    tried = 0
    for attempts, _ in tape.rounds:
        ids = [f"a-{number}" for number in range(len(attempts.payments))]
        for row in wire_rows(traffic, ids, attempts.payments, "card"):
            intake.read(to_message(row), traffic.start_us + traffic.days * DAY_US)
            tried += 1
    assert tried > 300
    used = {name for attempts, _ in tape.rounds for name in attempts.strategies}
    assert {strategy.name for strategy in [*known_strategies(), mule]} <= used


def test_a_gang_repeats_with_its_seed_and_answers() -> None:
    one, other = (Tape(ECONOMY, _gang(list(known_strategies())), 0.6) for _ in range(2))
    assert np.array_equal(one.column("event_time_us"), other.column("event_time_us"))
    assert one.gang.purse == other.gang.purse


def test_bursts_come_at_night_and_on_new_devices() -> None:
    tape = Tape(ECONOMY, _gang([BY_NAME["night_bursts"]]), 1.0)
    of_day = tape.column("event_time_us") % DAY_US
    assert of_day.max() < 5 * HOUR_US
    assert tape.column("surrogates")[:, 2].min() >= ECONOMY.entities[2]
    _, payments = np.unique(tape.column("surrogates")[:, 0], return_counts=True)
    assert np.median(payments) >= 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(list(known_strategies())), st.integers(1, 8))
def test_everything_is_within_the_hours_of_the_strategy(seed: int, known: Strategy, parts: int) -> None:
    rng = np.random.default_rng(seed)
    strategy = replace(known.mutated(rng, "mutant"), parts=parts, declines_max=10)
    held = HeldCard(0, strategy, int(rng.integers(0, DAY_US)), 10_000, 0, None, Purse(), rng)
    tariff, taken = replace(TARIFF, burning=0.0), 0
    for place in range(40 * ROUNDS):
        from_us = place * DAY_US // ROUNDS
        for step in list(held.steps(from_us, from_us + DAY_US // ROUNDS, tariff, 10**9)):
            assert strategy.hour_from * HOUR_US <= step.event_time_us % DAY_US < strategy.hour_until * HOUR_US
            held.answered(step, tariff, approved=bool(rng.random() < 0.9))
            taken += 1
    assert taken


def test_a_ladder_in_parts_climbs_once_a_sum() -> None:
    ladder = Strategy(name="ladder", step_percent=160, parts=4, payments=5, gap_minutes=60, declines_max=10)
    rng = np.random.default_rng(1)
    held = HeldCard(0, ladder, 0, 10_001, 0, None, Purse(), rng)
    tariff = replace(TARIFF, parts_apart_us=40 * MINUTE_US, burning=0.0)
    sums, total = list[int](), 0
    for place in range(24 * 10):  # rounds of an hour: parts of one sum come in several
        for step in list(held.steps(place * HOUR_US, (place + 1) * HOUR_US, tariff, 10**9)):
            total += step.amount_minor
            if step.last:
                sums, total = [*sums, total], 0
            held.answered(step, tariff, approved=True)
            held.blocked_us = 2**62  # the owner does not notice
    assert sums == [10_001, 16_001, 25_601, 40_961, 65_537]


def test_a_ladder_climbs_after_an_acceptance_and_waits_for_it() -> None:
    tape = Tape(ECONOMY, _gang([BY_NAME["amount_ladder"]]), 1.0)
    for attempts, _ in tape.rounds:
        cards = attempts.payments.surrogates[:, 0]
        assert len(np.unique(cards)) == len(cards)
    amounts = set(tape.column("amount_minor").tolist())
    assert {5_000, 8_000, 12_800} <= amounts


def test_a_tester_goes_on_only_with_cards_that_live() -> None:
    declined = Tape(ECONOMY, _gang([BY_NAME["card_testing"]]), 0.0)
    assert set(declined.column("amount_minor").tolist()) == {150}
    accepted = Tape(ECONOMY, _gang([BY_NAME["card_testing"]]), 1.0)
    assert set(accepted.column("amount_minor").tolist()) == {150, 35_000}


def test_parts_of_a_sum_add_up_and_stand_close_together() -> None:
    uneven = Strategy(name="uneven", amount_minor=10_003, payments=1, parts=4, declines_max=10)
    tape = Tape(ECONOMY, _gang([uneven], cards=1.0), 1.0)
    cards, amounts = tape.column("surrogates")[:, 0], tape.column("amount_minor")
    times = tape.column("event_time_us")
    whole = [card for card in np.unique(cards).tolist() if np.count_nonzero(cards == card) == 4]
    assert whole
    for card in whole:
        assert amounts[cards == card].sum() == 10_003
        assert np.diff(times[cards == card]).max() <= 6 * HOUR_US + 30 * MINUTE_US


def test_who_takes_over_an_account_does_as_its_owner_does() -> None:
    tape = Tape(ECONOMY, _gang([BY_NAME["account_takeover"]]), 1.0)
    habits: dict[int, set[int]] = {}
    for index in range(ECONOMY.days):
        for card, merchant, _ in ECONOMY.day(index).surrogates.tolist():
            habits.setdefault(card, set()).add(merchant)
    rows = tape.column("surrogates").tolist()
    known = [merchant in habits.get(card, set()) for card, merchant, _ in rows]
    assert np.mean(known) > 0.9  # new cards have no habits yet


def test_a_mule_is_a_merchant_of_the_gang_and_serves_so_many_cards() -> None:
    tape = Tape(ECONOMY, _gang([Strategy(name="mule", merchant="mule", payments=1)]), 1.0)
    rows = tape.column("surrogates")
    assert rows[:, 1].min() >= ECONOMY.entities[1]
    most = Tariff.of(ECONOMY.settings).prices.mule_cards
    cards = [len(np.unique(rows[rows[:, 1] == mule, 0])) for mule in np.unique(rows[:, 1])]
    assert max(cards) <= most


def test_an_opened_card_ages_at_its_own_expense_and_is_nobody_elses() -> None:
    tape = Tape(ECONOMY, _gang([BUST_OUT]), 1.0)
    amounts, is_fraud = tape.column("amount_minor"), tape.is_fraud
    assert tape.column("surrogates")[:, 0].min() >= ECONOMY.entities[0]
    assert set(amounts[~is_fraud].tolist()) == {2_000}
    assert set(amounts[is_fraud].tolist()) == {90_000}
    purse = tape.gang.purse
    assert purse.stolen_minor == amounts[is_fraud].sum()
    assert purse.tools_minor == 800 * np.count_nonzero(~is_fraud)  # 60 % of the goods' value comes back


def test_cards_burn_while_they_are_held() -> None:
    tape = Tape(ECONOMY, _gang([BY_NAME["low_and_slow"]], cards=10.0), 1.0)
    cards = tape.column("surrogates")[:, 0]
    early = np.unique(cards[: len(cards) // 3])
    counts = np.bincount(cards)[early]
    assert counts.mean() < 0.8 * BY_NAME["low_and_slow"].payments


def test_owners_notice_large_payments_sooner_than_small_ones() -> None:
    def payments(amount_minor: int) -> float:
        strategy = Strategy(name="steady", amount_minor=amount_minor, payments=30, gap_minutes=240)
        tape = Tape(ECONOMY, _gang([strategy], cards=8.0), 1.0)
        _, counts = np.unique(tape.column("surrogates")[:, 0], return_counts=True)
        return float(counts.mean())

    assert payments(100_000) < 0.5 * payments(1_000)


def test_better_access_and_tools_cost_more() -> None:
    tariff = Tariff.of(ECONOMY.settings)
    plain, busy = Strategy(name="plain"), Strategy(name="busy", merchant="busy", distance="near")
    mule = Strategy(name="mule", merchant="mule")
    assert tariff.tools_minor(plain, 10_000, 0) == 0
    assert tariff.tools_minor(busy, 10_000, 0) == 1_000 + 200  # [attacks]: merchant .1, distance .02
    assert tariff.tools_minor(plain, 10_000, 1) == 200  # split.payment_share .02
    assert tariff.access_minor(mule) > tariff.access_minor(plain)
    assert tariff.discount_minor(mule, 10_000) < tariff.discount_minor(plain, 10_000)


def _without(attacks: str) -> Settings:
    text = HANDBOOK.read_text(encoding="utf-8") + attacks
    return settings_from(tomllib.loads(text), {}, HANDBOOK)


def test_what_attacks_does_not_control_no_strategy_uses(tmp_path: Path) -> None:
    traffic = recorded(tmp_path)
    traffic.settings = _without("\n[attacks.entities]\n")
    tariff = Tariff.of(traffic.settings)
    assert tariff.refusal(BY_NAME["low_and_slow"]) == "attacks.entities.merchant"
    assert tariff.refusal(BY_NAME["amount_ladder"]) == ""
    gang = Gang(traffic, Scripted([BY_NAME["low_and_slow"]]), tariff, cards_per_day=50.0, seed=1)
    with pytest.raises(ConfigError, match=r"low_and_slow: needs attacks.entities.merchant"):
        gang.plan(0, traffic.start_us, traffic.start_us + DAY_US, Statements(traffic))
    mixed = Gang(traffic, EpsilonGreedy(known_strategies(), 1.0), tariff, cards_per_day=9.0, seed=1)
    used = {name for attempts, _ in Tape(traffic, mixed, 1.0).rounds for name in attempts.strategies}
    assert used <= {name for name, strategy in BY_NAME.items() if strategy.merchant == "any"}
    assert used


def test_a_bandit_gives_up_what_it_cannot_do(tmp_path: Path) -> None:
    traffic = recorded(tmp_path)
    tariff = replace(Tariff.of(traffic.settings), merchant_bp=None)
    never_explores = EpsilonGreedy([BY_NAME["low_and_slow"], BY_NAME["amount_ladder"]], epsilon=0.0)
    gang = Gang(traffic, never_explores, tariff, cards_per_day=9.0, seed=1)
    used = {name for attempts, _ in Tape(traffic, gang, 1.0).rounds for name in attempts.strategies}
    assert used == {"amount_ladder"}


def test_evolution_finds_what_the_defender_lets_through() -> None:
    """Answered by amount alone, strategies end up below the amount that is declined."""
    evolution = Evolution(known_strategies())
    gang = Gang(ECONOMY, evolution, Tariff.of(ECONOMY.settings), cards_per_day=25.0, seed=4)
    statements = Statements(ECONOMY)
    shares = []
    for day in range(ECONOMY.days):
        from_us = ECONOMY.start_us + day * DAY_US
        attempts = gang.plan(day, from_us, from_us + DAY_US, statements)
        approved = attempts.payments.amount_minor < 8_000
        shares.append(float(approved.mean()))
        gang.see([str(i) for i in range(len(approved))], approved)
    assert evolution.generation >= 5
    assert np.mean(shares[-4:]) > np.mean(shares[:4]) + 0.2


def test_purses_add_up() -> None:
    purse = Purse(attempts=1, stolen_minor=100, discount_minor=40, access_minor=10)
    purse.add(Purse(attempts=2, tools_minor=5, pollution_minor=7))
    assert (purse.attempts, purse.spent_minor, purse.profit_minor) == (3, 22, 38)
