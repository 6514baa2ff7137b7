"""The online learner of the adaptation benchmark: it sees frauds, at the false positives it is allowed."""

import pytest

from benchmarks.adaptation_online import Forest, OnlineDefender
from fraud.adversary.choosers import Scripted
from fraud.adversary.contest import Contest, ContestSettings
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.gang import Gang
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.adversary.verdicts import LabelRules
from fraud.clock import DAY_US


def test_the_online_learner_comes_to_see_frauds_at_its_false_positives() -> None:
    pytest.importorskip("river", reason="the extra `peers` is not installed")
    economy = Economy(EconomySettings(seed=2, days=16, cards=400, merchants=80, transactions_per_day=600))
    chooser = Scripted(known_strategies()[:1])
    gang = Gang(economy, chooser, Tariff.of(economy.settings), cards_per_day=8.0, seed=1)
    forest = Forest(trees=3, max_depth=6)
    learner = OnlineDefender(economy, maturity_us=DAY_US, seed=1, first_day=7, forest=forest)
    settings = ContestSettings(seed=1, days=16, rounds=4, rules=LabelRules(0, DAY_US, 0.0, 1.0, DAY_US))
    result = Contest(economy, gang, learner, settings).play()
    assert all(day.caught is None for day in result.days[:8])
    late = result.days[10:]
    assert sum(day.detected for day in late) > 0.6 * sum(day.frauds for day in late)
    assert sum(day.false_declines for day in late) < 0.03 * sum(day.honest for day in late)
    assert learner.retrains == 0


class _Unmoved:
    """A learner that learns nothing: its scores are spread evenly, whoever pays."""

    def learn_one(self, x: dict[int, float], y: bool) -> None:
        del x, y

    def predict_proba_one(self, x: dict[int, float]) -> dict[bool | str | int, float]:
        return {True: hash(tuple(x.values())) % 1_000_003 / 1_000_003}


@pytest.mark.parametrize("answered", [0.3, 0.7])
def test_false_positives_stay_at_their_rate_though_not_every_owner_answers(answered: float) -> None:
    economy = Economy(
        EconomySettings(seed=3, days=34, cards=800, merchants=80, transactions_per_day=1_500).stationary()
    )
    chooser = Scripted(known_strategies()[:1])
    gang = Gang(economy, chooser, Tariff.of(economy.settings), cards_per_day=2.0, seed=1)
    learner = OnlineDefender(economy, maturity_us=DAY_US, seed=1, first_day=6, learner=_Unmoved())
    rules = LabelRules(0, DAY_US, 0.0, answered, DAY_US)
    settings = ContestSettings(seed=1, days=34, rounds=4, rules=rules)
    late = Contest(economy, gang, learner, settings).play().days[14:]
    share = sum(day.false_declines for day in late) / sum(day.honest for day in late)
    assert share == pytest.approx(0.005, rel=0.2)
