"""Scenarios of the adaptation benchmark, under permanent names: honest traffic, attackers, label delay, seed.

    handbook/bandit/7d/seed-3      traffic / attackers / label delay / seed

Nothing of a scenario depends on who defends. `bandit` chooses among the eight strategies of
development, and so does `exp3`, which never trusts what it learned; `evolution` starts with them and
breeds from those that pay. `poisoner` is the bandit's gang with false disputes and, from the same day on,
a bought analyst; `poisoner-bursts` the same with its disputes in four days of each 24, as many, which is
how one would force retrains; `mutated-8` are eight random mutants of the known strategies, drawn from the
seed; any other name of attackers is a file's, without its ending.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.report import FOLDER
from fraud.adversary.choosers import Chooser, EpsilonGreedy, Evolution, Exp3
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.gang import Attacker, Gang
from fraud.adversary.honest import HonestTraffic
from fraud.adversary.poisoner import ANALYSTS, Poisoner, PoisonSettings
from fraud.adversary.recorded import RecordedTraffic
from fraud.adversary.strategy import Strategy, known_strategies, read_strategies
from fraud.adversary.tariff import Tariff
from fraud.adversary.verdicts import LabelRules
from fraud.clock import DAY_US
from fraud.settings import load_settings

WORLDS = ("handbook", "own")
BANDIT, MUTATED = "bandit", "mutated"
POISONER, BURSTS = "poisoner", "poisoner-bursts"
POISONERS: Mapping[str, PoisonSettings] = {
    POISONER: PoisonSettings(),
    BURSTS: PoisonSettings(burst_days=4, quiet_days=20),
}
"""Who files false labels beside the bandit's gang, and how."""
LEARNERS: Mapping[str, Callable[[Sequence[Strategy]], Chooser]] = {"evolution": Evolution, "exp3": Exp3}
"""Who learns from answers otherwise than the bandit does."""
NAMES = (BANDIT, *POISONERS, *LEARNERS)
"""Attackers who begin with the known strategies."""
CARDS_PER_DAY = 6.0
CARDS_SHARE = 0.25
_UNREPORTED, _ASKED = 0.05, 0.7

RULES: Mapping[str, LabelRules] = {
    "0d": LabelRules.at_once(),
    "1d": LabelRules(0, DAY_US, _UNREPORTED, _ASKED, DAY_US),
    "7d": LabelRules(DAY_US, 7 * DAY_US, _UNREPORTED, _ASKED, DAY_US),
}
"""By label delay: 7 days, one day, and at once, which only the oracle has."""
MATURITY_US: Mapping[str, int] = {"0d": 0, "1d": DAY_US, "7d": 7 * DAY_US}


def config_of(world: str) -> Path:
    """Return the configuration of the service in a world; its schema and features are those of all rows."""
    return FOLDER / f"adaptation_{world}.toml"


@dataclass(frozen=True, slots=True, order=True)
class Scenario:
    """What a defender meets."""

    world: str
    attackers: str
    delay: str
    seed: int

    @property
    def name(self) -> str:
        """The permanent name."""
        return f"{self.world}/{self.attackers}/{self.delay}/seed-{self.seed}"

    @property
    def rules(self) -> LabelRules:
        """How truth turns into labels; where an analyst will be bought, he is there from the start."""
        rules = RULES[self.delay]
        return replace(rules, analysts=ANALYSTS) if self.attackers in POISONERS else rules

    @property
    def maturity_us(self) -> int:
        """From which age on an approved payment without a label was no fraud."""
        return MATURITY_US[self.delay]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where scenarios come from: days to play, the Handbook's table, a file of strategies held out."""

    days: int
    data: Path
    strategies: Path | None = None

    def traffic(self, scenario: Scenario) -> HonestTraffic:
        """Return a scenario's honest payments, 2,400 a day from a quarter of the cards, another by seed."""
        if scenario.world == "own":
            return Economy(
                EconomySettings(seed=scenario.seed, days=self.days, cards=2_500, transactions_per_day=2_400)
            )
        settings = load_settings(config_of(scenario.world), {})
        return RecordedTraffic(settings, self.data, CARDS_SHARE, scenario.seed)

    def attacker(self, scenario: Scenario, traffic: HonestTraffic) -> Attacker:
        """Return the attackers of a scenario, who have learned nothing yet."""
        tariff = Tariff.of(traffic.settings)
        learner = LEARNERS.get(scenario.attackers, EpsilonGreedy)
        chooser = learner(self.strategies_of(scenario, tariff))
        gang = Gang(traffic, chooser, tariff, cards_per_day=CARDS_PER_DAY, seed=scenario.seed)
        settings = POISONERS.get(scenario.attackers)
        if settings is None:
            return gang
        return Poisoner(gang, traffic, settings, tariff.prices, seed=scenario.seed)

    def strategies_of(self, scenario: Scenario, tariff: Tariff) -> tuple[Strategy, ...]:
        """Return what the attackers choose from; mutants are such as `tariff` lets play.

        Raises:
            ConfigError: the file of strategies cannot be read.
            ValueError: the attackers' name is none of those known.
        """
        if not held_out(scenario.attackers):
            return known_strategies()
        if scenario.attackers.startswith(f"{MUTATED}-"):
            return mutants(int(scenario.attackers.removeprefix(f"{MUTATED}-")), scenario.seed, tariff)
        if self.strategies is not None and scenario.attackers == self.strategies.stem:
            return read_strategies(self.strategies)
        raise ValueError(f"attackers {scenario.attackers!r}: give --strategies FILE with that name")


def mutants(count: int, seed: int, tariff: Tariff) -> tuple[Strategy, ...]:
    """Return so many strategies that nobody developed against: mutants of the known ones, each in turn.

    One that `tariff` refuses is drawn again, so that all of them play.
    """
    rng = np.random.default_rng([seed, 41])
    known = known_strategies()
    parents = [known[place % len(known)] for place in range(count)]
    return tuple(
        _allowed(parent, f"{parent.name}~held-out-{place}", rng, tariff)
        for place, parent in enumerate(parents)
    )


def _allowed(parent: Strategy, name: str, rng: np.random.Generator, tariff: Tariff) -> Strategy:
    mutant = parent.mutated(rng, name)
    while tariff.refusal(mutant):
        mutant = parent.mutated(rng, name)
    return mutant


def held_out(attackers: str) -> bool:
    """Say whether these attackers begin with what was not there in development."""
    return attackers not in NAMES
