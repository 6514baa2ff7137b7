"""Who decides what the next stolen card is used for, and learns from what it brought.

    draw() ─▶ strategy for a card … card used up ─▶ reward(strategy, profit) ─▶ next draw

Profit of a card is all that comes back, in minor units and late: a slow strategy tells
after weeks. The threat model is FRAUD-RLA's (arXiv 2502.02290), with bandits in place of
deep learning, so that a run is a function of its seed and takes no time.
"""

from collections.abc import Sequence
from itertools import count
from typing import Protocol

import numpy as np

from fraud.adversary.strategy import Strategy


class Chooser(Protocol):
    """Chooses strategies for cards; `rng` is the gang's."""

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Return the strategy of the next card."""
        ...

    def reward(self, strategy: Strategy, profit_minor: int, rng: np.random.Generator) -> None:
        """Take note of what a card brought with a strategy."""
        ...


class Scripted:
    """Uses its strategies in turn and never learns; one strategy is the attacker of old."""

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        self._strategies = _some(strategies)
        self._next = count()

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Return the next in turn."""
        del rng
        return self._strategies[next(self._next) % len(self._strategies)]

    def reward(self, strategy: Strategy, profit_minor: int, rng: np.random.Generator) -> None:
        """Learn nothing."""


class EpsilonGreedy:
    """Uses what paid best of late; an `epsilon` share of cards tries any strategy.

    An estimate moves by `step` of the surprise, so old profits are forgotten. An untried
    strategy is worth 0, so one stays with the first until it pays no more.
    Source: Sutton and Barto 2018, section 2.5.
    """

    def __init__(self, strategies: Sequence[Strategy], epsilon: float = 0.1, step: float = 0.15) -> None:
        if not 0 <= epsilon <= 1 or not 0 < step <= 1:
            raise ValueError(f"epsilon {epsilon} and step {step} must be within 0 and 1, step above 0")
        self._strategies = _some(strategies)
        self._places = {strategy.name: place for place, strategy in enumerate(self._strategies)}
        self._epsilon, self._step = epsilon, step
        self.worth = np.zeros(len(self._strategies))

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Return the best one, or any."""
        explores = rng.random() < self._epsilon
        other = int(rng.integers(len(self._strategies)))
        return self._strategies[other if explores else int(np.argmax(self.worth))]

    def reward(self, strategy: Strategy, profit_minor: int, rng: np.random.Generator) -> None:
        """Move the estimate of a strategy towards a profit."""
        del rng
        place = self._places[strategy.name]
        self.worth[place] += self._step * (profit_minor - self.worth[place])


class Exp3:
    """Draws strategies by exponential weights, for opponents that change on purpose.

    Profits count within ± `scale_minor`; a share `gamma` of draws is uniform, and weights
    leak towards each other so that a strategy can come back (Exp3.S).
    Source: Auer, Cesa-Bianchi, Freund, Schapire 2002, sections 3 and 8.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        gamma: float = 0.15,
        leak: float = 0.002,
        scale_minor: int = 50_000,
    ) -> None:
        if not 0 < gamma <= 1 or not 0 <= leak < 1 or scale_minor < 1:
            raise ValueError("gamma must be within (0, 1], leak within [0, 1), scale_minor at least 1")
        self._strategies = _some(strategies)
        self._places = {strategy.name: place for place, strategy in enumerate(self._strategies)}
        self._gamma, self._leak, self._scale = gamma, leak, scale_minor
        self._weights = np.full(len(self._strategies), 1.0 / len(self._strategies))

    @property
    def chances(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Chance of each strategy, float64[k]; they sum to 1."""
        return (1 - self._gamma) * self._weights + self._gamma / len(self._weights)

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Return one by its chance."""
        return self._strategies[int(rng.choice(len(self._strategies), p=self.chances))]

    def reward(self, strategy: Strategy, profit_minor: int, rng: np.random.Generator) -> None:
        """Multiply the weight of a strategy by how well it paid, relative to its chance."""
        del rng
        place, k = self._places[strategy.name], len(self._weights)
        gain = (np.clip(profit_minor / self._scale, -1.0, 1.0) + 1) / 2
        self._weights[place] *= np.exp(self._gamma * gain / (self.chances[place] * k))
        self._weights = (1 - self._leak) * self._weights / self._weights.sum() + self._leak / k


class Evolution:
    """A population of strategies whose numbers mutate; those with the best profit survive.

    After `trials` cards of each on average, the worse half dies and mutants of the others
    take its place. A mutant is called after its ancestor: `card_testing~7`.
    """

    def __init__(self, strategies: Sequence[Strategy], trials: int = 4) -> None:
        if trials < 1:
            raise ValueError(f"trials: {trials} cards tell nothing; give at least 1")
        self.population = list(_some(strategies))
        self._trials = trials
        self._numbers = count(1)
        self._turn = count()
        self._profits: dict[str, list[int]] = {}
        self.generation = 0

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Return the next of the population in turn."""
        del rng
        return self.population[next(self._turn) % len(self.population)]

    def reward(self, strategy: Strategy, profit_minor: int, rng: np.random.Generator) -> None:
        """Take a profit in; after enough of them, let a generation pass."""
        if all(strategy.name != one.name for one in self.population):
            return
        self._profits.setdefault(strategy.name, []).append(profit_minor)
        if sum(map(len, self._profits.values())) >= self._trials * len(self.population):
            self._pass(rng)

    def _pass(self, rng: np.random.Generator) -> None:
        def mean(one: Strategy) -> float:
            profits = self._profits.get(one.name)
            return sum(profits) / len(profits) if profits else -np.inf

        ranked = sorted(self.population, key=mean, reverse=True)
        kept = ranked[: max(1, (len(ranked) + 1) // 2)]
        born = [
            parent.mutated(rng, f"{parent.name.partition('~')[0]}~{next(self._numbers)}")
            for parent, _ in zip(kept, range(len(ranked) - len(kept)), strict=False)
        ]
        self.population = [*kept, *born]
        self._profits = {}
        self.generation += 1


def _some(strategies: Sequence[Strategy]) -> tuple[Strategy, ...]:
    if not strategies:
        raise ValueError("strategies: give at least one")
    return tuple(strategies)
