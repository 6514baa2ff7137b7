"""The closed loop: what defenders are told, what is measured, and that retraining keeps up."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fraud.adversary.choosers import EpsilonGreedy, Scripted
from fraud.adversary.contest import Answers, Contest, ContestSettings, Defender
from fraud.adversary.contest_figures import Comeback, ContestDay, ContestResult, Recovery, caught_at_fpr
from fraud.adversary.defenders import KernelDefender, Policy
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.gang import Attacker, Attempts, Filing, Gang
from fraud.adversary.honest import HonestTraffic, Payments
from fraud.adversary.poisoner import ACCOUNT, ANALYSTS, Poisoner, PoisonSettings
from fraud.adversary.statements import Statements
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.adversary.verdicts import LabelRules, Verdicts
from fraud.clock import DAY_US
from fraud.records import LabelValue
from tests.adversary.streams import SMALL

SEED = 1
DAYS, FIRST, LATE = 32, 7, 20
RULES = LabelRules(delay_min_us=DAY_US // 4, delay_max_us=2 * DAY_US)
KNOWN = known_strategies()


class ByAmount:
    """A defender that declines what is above a bound, and keeps what it is told."""

    name = "by amount"
    retrains = 0

    def __init__(self, bound_minor: int) -> None:
        self._bound = bound_minor
        self.decided: dict[str, tuple[int, bool]] = {}
        self.learned: list[tuple[int, Filing]] = []
        self._last_us = 0

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        times = payments.event_time_us
        assert np.all(np.diff(times) >= 0)
        assert len(times) == 0 or times[0] >= self._last_us
        self._last_us = int(times[-1]) if len(times) else self._last_us
        approved = payments.amount_minor < self._bound
        known = zip(times.tolist(), approved.tolist(), strict=True)
        self.decided.update(zip(ids, known, strict=True))
        return Answers(approved, payments.amount_minor.astype(np.float64))

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        self.learned += [(now_us, filing) for filing in filings]


def _gang(traffic: HonestTraffic, *, adapts: bool = True, cards: float = 8.0) -> Gang:
    chooser = EpsilonGreedy(KNOWN) if adapts else Scripted(KNOWN[:1])
    return Gang(traffic, chooser, Tariff.of(traffic.settings), cards_per_day=cards, seed=SEED)


def _play(attacker: Attacker, defender: Defender, days: int, rules: LabelRules = RULES) -> ContestResult:
    settings = ContestSettings(seed=SEED, days=days, rounds=4, rules=rules)
    return Contest(TRAFFIC, attacker, defender, settings).play()


TRAFFIC = Economy(
    EconomySettings(seed=SEED, days=DAYS, cards=2_000, merchants=200, transactions_per_day=1_200).stationary()
)


def test_a_static_model_decays_under_a_bandit_and_a_retrained_one_keeps_up() -> None:
    static = replace(Policy.static(FIRST), maturity_us=2 * DAY_US)
    weekly = replace(Policy.scheduled(3, FIRST), maturity_us=2 * DAY_US)
    results = {
        "fraud does not adapt": _play(_gang(TRAFFIC, adapts=False), _kernel(static), DAYS),
        "never retrained": _play(_gang(TRAFFIC), _kernel(static), DAYS),
        "retrained": _play(_gang(TRAFFIC), _kernel(weekly), DAYS),
    }
    late = {name: result.recall(LATE, DAYS) for name, result in results.items()}
    early = results["never retrained"].recall(FIRST + 1, FIRST + 5)
    lost = {name: result.lost_per_day(LATE, DAYS) for name, result in results.items()}
    told = f"seed {SEED}: recall early {early:.2f}, late {late}, lost a day {lost}"
    assert late["never retrained"] < 0.5 * early, told
    assert late["fraud does not adapt"] > late["never retrained"] + 0.3, told
    assert late["retrained"] > late["never retrained"] + 0.2, told
    assert lost["retrained"] < 0.6 * lost["never retrained"], told
    row = results["retrained"].row(FIRST + 1, DAYS)
    assert row["retrains"] == 8
    assert 0 < row["value detected"] < 1


def _kernel(policy: Policy) -> KernelDefender:
    return KernelDefender(TRAFFIC, policy, seed=SEED)


def test_fresh_verdicts_teach_before_their_payments_have_matured() -> None:
    policy = replace(Policy.scheduled(1, FIRST), maturity_us=(FIRST - 1) * DAY_US)
    waiting, fresh = _kernel(policy), _kernel(replace(policy, fresh=True))
    for defender in (waiting, fresh):
        _play(_gang(TRAFFIC, cards=3.0), defender, FIRST + 1)
    assert (waiting.retrains, fresh.retrains) == (0, 1), "two days had matured, with too few frauds"


def test_before_the_first_model_all_is_approved_and_nothing_scored() -> None:
    result = _play(_gang(TRAFFIC), _kernel(Policy.static(FIRST)), 3)
    assert all(day.caught is None and not day.detected and not day.false_declines for day in result.days)
    assert np.isnan(result.recall(0, 3))


def test_a_contest_repeats_with_its_seed() -> None:
    one, other = (_play(_gang(TRAFFIC), ByAmount(12_000), 8) for _ in range(2))
    assert one == other


class Noted(Gang):
    """A gang that keeps when each of its cards was first used."""

    first_us: dict[int, int]

    def plan(self, day: int, from_us: int, until_us: int, statements: Statements) -> Attempts:
        attempts = super().plan(day, from_us, until_us, statements)
        payments = attempts.payments
        for card, time_us in zip(payments.surrogates[:, 0].tolist(), payments.event_time_us, strict=True):
            self.first_us.setdefault(card, int(time_us))
        return attempts


def test_two_defenders_meet_the_same_thefts() -> None:
    met = []
    for bound_minor in (3_000, 30_000):
        gang = Noted(TRAFFIC, Scripted(KNOWN[:1]), Tariff.of(TRAFFIC.settings), cards_per_day=8.0, seed=SEED)
        gang.first_us = {}
        _play(gang, ByAmount(bound_minor), 6)
        met.append(gang)
    strict, lax = met
    both = strict.first_us.items() & lax.first_us.items()
    # A card that is held still is not stolen twice; the next in the line is then.
    assert len(both) >= 0.95 * max(len(strict.first_us), len(lax.first_us)) > 30
    assert strict.purse.attempts != lax.purse.attempts, "answered otherwise, they were used otherwise"


def test_owners_of_honest_payments_answer_alike_however_many_attempts_stand_among_them() -> None:
    rng = np.random.default_rng(SEED)
    answers = []
    for attempts in (0, 40):
        verdicts, is_attempt = Verdicts(RULES, SEED), rng.permutation(300 + attempts) < attempts
        ids = [f"attempt-{place}" for place in range(300 + attempts)]
        for number, place in enumerate(np.flatnonzero(~is_attempt).tolist()):
            ids[place] = f"honest-{number}"
        n, nobody = len(ids), np.zeros(len(ids), np.bool_)
        verdicts.expect(ids, np.zeros(n, np.int64), nobody, nobody, is_attempt)
        labels = [label for filing in verdicts.due(2**62) for label in filing.labels]
        answers.append([label for label in labels if label.transaction_id.startswith("honest")])
    assert answers[0] == answers[1]
    assert 150 < len(answers[0]) < 270


def test_what_was_lost_is_what_attackers_got() -> None:
    gang = _gang(TRAFFIC)
    result = _play(gang, ByAmount(12_000), 12)
    assert sum(day.lost_minor for day in result.days) == gang.purse.stolen_minor > 0
    assert sum(day.attempted_minor for day in result.days) == gang.purse.attempted_minor
    assert sum(day.frauds for day in result.days) == gang.purse.attempts
    assert sum(day.profit_minor for day in result.days) == gang.purse.profit_minor
    for day in result.days:
        assert day.attempted_minor == day.lost_minor + day.detected_minor == sum(day.attempted.values())


def test_who_looks_finds_every_fraud_and_nothing_else() -> None:
    frauds: set[str] = set()
    defender = ByAmount(9_000)
    settings = ContestSettings(seed=SEED, days=6, rounds=4, rules=LabelRules.at_once())
    result = Contest(TRAFFIC, _gang(TRAFFIC), defender, settings, frauds).play()
    assert sum(day.frauds for day in result.days) == len(frauds) > 0
    labels = [label for _, filing in defender.learned for label in filing.labels]
    assert all((label.value is LabelValue.FRAUD) == (label.transaction_id in frauds) for label in labels)


def test_labels_are_true_come_once_and_no_sooner_than_the_rules_say() -> None:
    defender = ByAmount(9_000)
    _play(_gang(TRAFFIC), defender, 10)
    seen: dict[str, LabelValue] = {}
    for now_us, filing in defender.learned:
        for label in filing.labels:
            event_us, approved = defender.decided[label.transaction_id]
            assert label.transaction_id not in seen
            assert event_us <= label.label_time_us <= now_us
            assert filing.source == ("chargeback" if approved else "analyst")
            if approved:
                assert label.value is LabelValue.FRAUD
                assert RULES.delay_min_us <= label.label_time_us - event_us <= RULES.delay_max_us
            seen[label.transaction_id] = label.value
    assert {LabelValue.FRAUD, LabelValue.LEGITIMATE} == set(seen.values())


def test_an_oracle_knows_every_fraud_by_the_end_of_its_day() -> None:
    defender = ByAmount(9_000)
    result = _play(_gang(TRAFFIC), defender, 5, LabelRules.at_once())
    frauds = [
        (now_us, label)
        for now_us, filing in defender.learned
        for label in filing.labels
        if label.value is LabelValue.FRAUD
    ]
    assert len(frauds) >= sum(day.frauds for day in result.days) - 2  # the last moment of the last day
    assert all(now_us - label.label_time_us <= DAY_US for now_us, label in frauds)


def test_some_frauds_are_never_reported_and_some_owners_never_asked() -> None:
    n = 2_000
    verdicts = Verdicts(replace(RULES, unreported_share=0.25, declined_share=0.5), seed=SEED)
    ids = [str(number) for number in range(n)]
    approved = np.arange(n) % 2 == 0
    verdicts.expect(ids, np.zeros(n, np.int64), np.ones(n, np.bool_), approved, np.ones(n, np.bool_))
    known = {label.transaction_id for filing in verdicts.due(30 * DAY_US) for label in filing.labels}
    told = np.array([name in known for name in ids])
    assert told[approved].mean() == pytest.approx(0.75, abs=0.04)
    assert told[~approved].mean() == pytest.approx(0.5, abs=0.04)
    assert verdicts.due(60 * DAY_US) == []


def test_a_poisoner_takes_part_and_its_labels_reach_the_defender() -> None:
    economy = Economy(SMALL)
    prices = Tariff.of(economy.settings).prices
    poisoner = Poisoner(_gang(economy), economy, PoisonSettings(from_day=2), prices, seed=SEED)
    defender = ByAmount(9_000)
    settings = ContestSettings(seed=SEED, days=12, rounds=4, rules=replace(RULES, analysts=ANALYSTS))
    frauds: set[str] = set()
    result = Contest(economy, poisoner, defender, settings, frauds).play()
    assert {filing.submitter for _, filing in defender.learned} == {"chargeback", *ANALYSTS}

    def said(submitter: str, value: LabelValue) -> list[set[str]]:
        filings = [filing for _, filing in defender.learned if filing.submitter == submitter]
        return [{label.transaction_id for label in it.labels if label.value is value} for it in filings]

    files = said("chargeback", LabelValue.FRAUD)
    false, true = set[str]().union(*files) - frauds, set[str]().union(*files) & frauds
    assert false
    assert all(defender.decided[name][1] for name in false)
    assert any(names & false and names & true for names in files), "in one file with true ones"
    cleared = set[str]().union(*said(ACCOUNT, LabelValue.LEGITIMATE))
    assert len(true & cleared) > 0.4 * len(true)
    assert sum(day.frauds for day in result.days) == poisoner.purse.attempts
    kernel = KernelDefender(economy, Policy.scheduled(3, 4), seed=SEED)
    again = Poisoner(_gang(economy), economy, PoisonSettings(from_day=2), prices, seed=SEED)
    assert Contest(economy, again, kernel, settings).play().days[-1].caught is not None


def _day(index: int, caught: int, strategy: str) -> ContestDay:
    return ContestDay(index, 100, 10, caught, 5, 2, 1_000, 400, 600, 50, 0, {strategy: 1_000})


def test_recovery_counts_days_from_a_change_to_nine_tenths_of_the_recall_before() -> None:
    recalls = [9] * 10 + [9, 2, 2, 3, 9, 9, 9, 9, 9, 9] + [9, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    used = ["ladder"] * 10 + ["bursts"] * 10 + ["slow"] * 10
    days = tuple(_day(i, c, s) for i, (c, s) in enumerate(zip(recalls, used, strict=True)))
    first, second = ContestResult("test", 1, days).recoveries(1)
    assert (first.before, first.after, second.before, second.after) == ("ladder", "bursts", "bursts", "slow")
    assert (first.day, second.day) == (10, 20)
    assert first.days == 6  # days 14 to 16 are the first three at 9 of 10 since
    assert second.days is None
    assert (first.watched, second.watched) == (10, 10)
    assert first.fell
    assert second.fell


def test_a_change_that_nothing_notices_takes_no_days() -> None:
    days = tuple(_day(i, 9, "ladder" if i < 5 else "slow") for i in range(12))
    (change,) = ContestResult("test", 1, days).recoveries(1)
    assert change.days == 0
    assert not change.fell


def test_a_fall_that_was_never_made_good_sets_no_lower_goal() -> None:
    used = ["ladder"] * 10 + ["bursts"] * 14 + ["slow"] * 14
    fallen = tuple(_day(i, 8 if i < 10 else 1, each) for i, each in enumerate(used))
    changes = ContestResult("test", 1, fallen).recoveries(1)
    assert [change.days for change in changes] == [None, None]
    back = tuple(_day(i, 1 if 10 <= i < 28 else 8, each) for i, each in enumerate(used))
    assert [change.days for change in ContestResult("test", 1, back).recoveries(1)] == [None, 6]


@pytest.mark.parametrize("caught", [0, None])
def test_where_nothing_was_ever_caught_there_is_nothing_to_come_back_to(caught: int | None) -> None:
    days = tuple(replace(_day(i, 0, "a" if i < 6 else "b"), caught=caught) for i in range(12))
    result = ContestResult("test", 1, days)
    assert [change.days for change in result.recoveries(1)] == [None]
    found = Comeback.of(result.recoveries(1))
    assert (found.fell, found.back) == (0, 0)
    assert np.isnan(found.days)


def _change(days: int | None, watched: int = 9, *, fell: bool = True) -> Recovery:
    return Recovery(20, "a", "b", days, watched, fell)


def test_a_change_that_never_came_back_took_longer_than_any_that_did() -> None:
    few = Comeback.of([_change(2), _change(4), _change(None), _change(0, fell=False)])
    assert (few.fell, few.back, few.days) == (3, 2, 4.0)
    many = Comeback.of([_change(2), _change(None, 3), _change(None, 7)])
    assert (many.fell, many.back) == (3, 1)
    assert np.isinf(many.days)
    assert many.at_least == 3, "two of three took three days at least"


def test_a_day_without_scores_counts_once_there_was_a_model() -> None:
    days = [_day(i, 8, "a") for i in range(4)]
    unscored = [replace(day, caught=None) if day.day in (0, 2) else day for day in days]
    result = ContestResult("test", 1, tuple(unscored))
    assert np.isnan(result.recall(0, 1))
    assert result.recall(0, 2) == 0.8
    assert result.recall(2, 3) == 0
    assert result.recall(0, 4) == pytest.approx(0.8 * 2 / 3)


def test_figures_over_days_pool_frauds_and_amounts() -> None:
    result = ContestResult("test", 1, (_day(0, 9, "a"), _day(1, 1, "a")))
    assert result.recall(0, 2) == 0.5
    assert result.value_detected(0, 2) == 0.4
    assert result.lost_per_day(0, 2) == 600
    assert result.row(0, 2)["false declines a day"] == 2


def test_frauds_are_caught_at_the_false_positives_of_the_day() -> None:
    is_fraud = np.array([False] * 1_000 + [True] * 4)
    scores = np.concatenate([np.arange(1_000.0), [993.0, 994.0, 995.0, 2_000.0]])
    assert caught_at_fpr(is_fraud, scores) == 2  # above the sixth best honest score, 994
    assert caught_at_fpr(is_fraud, np.full(len(scores), 1.0)) == 0
    assert caught_at_fpr(is_fraud, np.full(len(scores), np.nan)) is None


def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(ValueError, match="rounds: 7"):
        ContestSettings(rounds=7)
    with pytest.raises(ValueError, match="days: 99 are asked for, the traffic has 32"):
        Contest(TRAFFIC, _gang(TRAFFIC), ByAmount(1), ContestSettings(days=99))
