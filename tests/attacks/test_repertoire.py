"""Ways that are drawn: within reach and cost, whoever defends; a prober pays for each payment too."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.attacks.blackbox import Prober
from fraud.attacks.campaign import Drawn
from fraud.attacks.payment import Capabilities, Payment
from fraud.attacks.rehearsal import Rehearsal
from fraud.attacks.repertoire import PAUSES_MAX, Attempt, attempts
from fraud.attacks.target import Target
from fraud.clock import MINUTE_US
from fraud.records import Outcome
from fraud.settings.attacks import AmountControl, SplitControl
from tests.attacks.worlds import World, attack

COUNT, COST = 60, 0.4


@pytest.fixture(scope="module")
def drawn(world: World) -> tuple[Attempt, ...]:
    fraud = world.frauds()[-1]
    rehearsal, _ = world.before(fraud)
    choices = world.allowed.choices(fraud, world.reach, 7)
    return attempts(rehearsal, fraud, choices, world.allowed, COUNT, COST)


def test_attempts_are_payments_within_cost_and_value_each_with_its_price(
    world: World, drawn: tuple[Attempt, ...]
) -> None:
    fraud = world.frauds()[-1]
    assert COUNT // 2 < len(drawn) <= COUNT
    for each in drawn:
        amounts = [payment.amount_minor for payment in each.payments]
        assert min(amounts) > 0
        assert sum(amounts) <= fraud.value_minor
        assert {payment.surrogates[0] for payment in each.payments} == {fraud.payment.surrogates[0]}
        split = world.settings.attacks.split
        assert split is not None
        least = 1 - sum(amounts) / fraud.value_minor + split.payment_share * (len(amounts) - 1)
        assert least - 1e-9 <= each.cost <= COST + 1e-9
        assert each.features.shape == (len(amounts), len(world.spec.names))


def test_every_control_is_drawn_from_and_payments_see_those_before_them(
    world: World, drawn: tuple[Attempt, ...]
) -> None:
    fraud = world.frauds()[-1]
    assert {len(each.payments) > 1 for each in drawn} == {True, False}
    kinds = zip(*(payment.surrogates for each in drawn for payment in each.payments), strict=True)
    assert [len(set(kind)) > 1 for kind in kinds] == [False, True, True]
    assert any(each.payments[0].event_time_us > fraud.payment.event_time_us for each in drawn)
    assert len({payment.words for each in drawn for payment in each.payments}) > 1
    counts = world.spec.names.index("card_count_1d")
    for each in drawn:
        assert (np.diff(each.features[:, counts]) == 1).all()


def test_the_same_seed_gives_the_same_and_leaves_no_trace(world: World) -> None:
    fraud = world.frauds()[-1]
    rehearsal, _ = world.before(fraud)
    choices = world.allowed.choices(fraud, world.reach, 7)
    before = rehearsal.peek([fraud.payment])
    one, other = (attempts(rehearsal, fraud, choices, world.allowed, 20, COST) for _ in range(2))
    assert [each.payments for each in one] == [each.payments for each in other]
    np.testing.assert_array_equal(rehearsal.peek([fraud.payment]), before)
    assert attempts(rehearsal, fraud, choices, world.allowed, 0, COST) == ()


def test_who_may_neither_split_nor_choose_sends_one_payment(world: World) -> None:
    attacks: dict[str, object] = {"split": None, "pace": None, "entities": {}, "categorical": {}}
    bound = world.settings.attacks.model_copy(update=attacks)
    allowed = Capabilities(world.settings.model_copy(update={"attacks": bound}))
    fraud = world.frauds()[-1]
    rehearsal, _ = world.before(fraud)
    for each in attempts(rehearsal, fraud, allowed.choices(fraud, world.reach, 7), allowed, 30, COST):
        (payment,) = each.payments
        assert replace(payment, amount_minor=fraud.value_minor) == fraud.payment
        assert each.cost == pytest.approx(1 - payment.amount_minor / fraud.value_minor)


@pytest.mark.parametrize(
    ("least_share", "payments_max", "queries", "splits", "tries"),
    [
        (0.1, 4, 30, {2, 3, 4}, {2, 3, 4, 5, 6, 7, 8, 9, 10}),
        (0.1, 2, 5, {2}, {2, 3, 4, 5}),
        (0.3, 3, 30, {2, 3}, {2, 3}),
        (0.8, 2, 30, {2}, set()),
        (0.1, 3, 1, {2, 3}, set()),
        (None, 3, 30, {2, 3}, set()),
    ],
)
def test_parts_are_as_many_and_as_large_as_the_configuration_lets_a_search_pay(
    world: World,
    least_share: float | None,
    payments_max: int,
    queries: int,
    splits: set[int],
    tries: set[int],
) -> None:
    split = SplitControl(payments_max=payments_max, apart=45 * MINUTE_US, payment_share=0.001)
    amount = None if least_share is None else AmountControl(least_share=least_share)
    update: dict[str, object] = {"amount": amount, "split": split, "queries": queries}
    bound = world.settings.attacks.model_copy(update=update)
    allowed = Capabilities(world.settings.model_copy(update={"attacks": bound}))
    last, value = world.frauds()[-1], 5_000
    fraud = replace(last, payment=replace(last.payment, amount_minor=value))
    least = (least_share or 1.0) * value
    rehearsal, _ = world.before(fraud)
    choices = allowed.choices(fraud, world.reach, 7)
    met: dict[bool, set[int]] = {True: set(), False: set()}
    for each in attempts(rehearsal, fraud, choices, allowed, 200, 0.95):
        amounts = [payment.amount_minor for payment in each.payments]
        assert least <= sum(amounts) <= value
        if len(amounts) == 1:
            continue
        (pause,) = set(np.diff([payment.event_time_us for payment in each.payments]).tolist())
        met[pause == split.apart].add(len(amounts))
        if pause != split.apart:
            times, rest = divmod(pause, bound.query_apart)
            assert (rest, times) in [(0, at) for at in range(1, PAUSES_MAX + 1)]
            assert (len(amounts) - 1) * times < queries, "declined tries between them included"
            assert min(amounts) >= least
    assert met == {True: splits, False: tries}


def test_a_campaign_draws_for_frauds_before_a_moment_alone(world: World) -> None:
    frauds = world.frauds(6)
    until_us = frauds[3].payment.event_time_us
    (results,) = attack(
        world,
        frauds,
        [world.target],
        world.allowed,
        black_box=False,
        drawn=Drawn(5, COST, until_us),
    )
    assert [bool(each.ways) for each in results] == [True] * 3 + [False] * 3


def test_a_prober_pays_for_each_payment_after_the_first(world: World) -> None:
    free = replace(world.bundle.thresholds, challenge=None, review=None, decline=None)
    target = Target(replace(world.bundle, thresholds=free), world.spec, world.settings)
    fraud = world.frauds()[-1]
    settings = world.settings.attacks
    split = settings.split
    assert split is not None
    for price in (0.0, 0.05):
        priced = settings.model_copy(update={"split": split.model_copy(update={"payment_share": price})})
        allowed = Capabilities(world.settings.model_copy(update={"attacks": priced}))
        rehearsal = world.before(fraud)[0]
        costs = []
        for seed in range(8):
            own = allowed.choices(fraud, world.reach, 7)[:1]
            probe = Prober(target, allowed, seed).probe(rehearsal, fraud, own)
            assert probe.evasion is not None
            waited = (probe.tries - 1) * settings.query_apart / (24 * 3_600_000_000)
            pace = settings.pace
            assert pace is not None
            known = 1 - probe.taken_minor / fraud.value_minor + pace.day_share * waited
            assert probe.cost == pytest.approx(known + price * (len(probe.evasion.payments) - 1))
            costs.append(len(probe.evasion.payments))
        assert max(costs) > 1, "some seed pays in parts"


class _Noting(Rehearsal):
    """Keeps the amounts of what is folded."""

    def __init__(self, of: Rehearsal) -> None:
        super().__init__(of._state)
        self.amounts: list[int] = []

    def fold(self, payments: Sequence[Payment]) -> NDArray[np.float32]:
        self.amounts += [payment.amount_minor for payment in payments]
        return super().fold(payments)


@pytest.mark.parametrize("least_share", [0.1, 0.3, None])
@pytest.mark.parametrize("splits", [True, False])
def test_a_prober_sends_no_less_than_he_may_and_once_where_nobody_splits(
    world: World, least_share: float | None, *, splits: bool
) -> None:
    settings = world.settings.attacks
    amount = None if least_share is None else AmountControl(least_share=least_share)
    update: dict[str, object] = {"amount": amount, "split": settings.split if splits else None}
    allowed = Capabilities(world.settings.model_copy(update={"attacks": settings.model_copy(update=update)}))
    free = replace(world.bundle.thresholds, challenge=None, review=None, decline=None)
    targets = [world.target, Target(replace(world.bundle, thresholds=free), world.spec, world.settings)]
    accepted = set()
    for fraud in world.frauds(6):
        value, choices = fraud.value_minor, allowed.choices(fraud, world.reach, 7)
        for target in targets:
            rehearsal = _Noting(world.before(fraud)[0])
            probe = Prober(target, allowed, 3).probe(rehearsal, fraud, choices)
            least, most = allowed.amounts(fraud)
            assert least <= min(rehearsal.amounts) <= max(rehearsal.amounts) <= most
            assert probe.taken_minor == 0 or least <= probe.taken_minor <= value
            payments = () if probe.evasion is None else probe.evasion.payments
            accepted.add(len(payments))
            assert splits or len(payments) <= 1
            assert target is world.target or not splits or probe.taken_minor == value
    assert max(accepted) > 1 or not splits or least_share != 0.1


class _Small(Target):
    """Lets through what is at most `most` in major units."""

    most = 20.0

    def outcomes(
        self,
        features: NDArray[np.float32],
        words: Sequence[tuple[str, ...]],
        of: NDArray[np.intp] | None = None,
    ) -> NDArray[np.int64]:
        del words, of
        small = features[:, self._index[self.bundle.feature_names.index("amount")]] <= self.most
        return np.where(small, int(Outcome.APPROVE), int(Outcome.DECLINE))


def test_a_prober_who_learns_to_stay_small_never_goes_below_his_least(world: World) -> None:
    target = _Small(world.bundle, world.spec, world.settings)
    prober = Prober(target, world.allowed, 3)
    seen: set[int] = set()
    for fraud in world.frauds(12):
        odd = replace(fraud, payment=replace(fraud.payment, amount_minor=10_007))
        rehearsal = _Noting(world.before(fraud)[0])
        probe = prober.probe(rehearsal, odd, world.allowed.choices(odd, world.reach, 7)[:1])
        least, _ = world.allowed.amounts(odd)
        assert min(rehearsal.amounts) >= least == 1_001
        amounts = [] if probe.evasion is None else [it.amount_minor for it in probe.evasion.payments]
        assert probe.taken_minor == sum(amounts)
        assert probe.taken_minor == 10_007 or 10_007 - probe.taken_minor >= least
        seen |= {*amounts}
    assert least in seen, "a tenth was tried and taken"
