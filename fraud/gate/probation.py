"""What ends a probation early: outcomes that jump, or frauds that the former champion would have caught.

    payments that both scored live → counts of who alerted → outcome_log_e: the champion alerts more than R
        times as often (or as rarely) as the former one did *and* as it did on the traffic before
    their matured labels → votes, sides swapped → demotion: superiority of the former champion

Both are e-processes, so they may be looked at after every batch. The null of an
outcome jump is a union (nearer to one *or* the other rate), so the smaller of
two E-values counts: a champion that a new attack has blinded alerts too rarely,
and whoever sees the attack would look like a jump beside it alone.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import logsumexp

from fraud.clock import DAY_US
from fraud.gate.eprocess import STAKES, e_of, required_e, superiority_log_e
from fraud.gate.votes import Votes


@dataclass(slots=True)
class Pairs:
    """Payments that champion and former champion scored, by who alerted. Counted up by one owner."""

    both: int = 0
    champion_only: int = 0
    former_only: int = 0
    neither: int = 0

    @property
    def rows(self) -> int:
        """Payments counted."""
        return self.both + self.champion_only + self.former_only + self.neither

    @property
    def champion_share(self) -> float:
        """The champion's rate; 0 without payments."""
        return (self.both + self.champion_only) / max(self.rows, 1)

    @property
    def former_share(self) -> float:
        """The former champion's rate; 0 without payments."""
        return (self.both + self.former_only) / max(self.rows, 1)


@dataclass(slots=True)
class Differing:
    """On whose payments the two differed on the newest day of such payments. Counted up by one owner.

    A card counts once a day: whoever floods a service with payments that one version alone alerts on must not
    be able to decide between them with a single card. `cards` holds place and value (token or surrogate) of
    the first entity that a payment gives, the card as a rule; None stands for all payments that give none.
    """

    day: int = 0
    cards: set[tuple[int, str | int] | None] = field(default_factory=set)

    def is_first(self, event_time_us: int, entities: Iterable[str | int | None]) -> bool:
        """Tell whether a payment they differ on is the first such of its card, and remember it."""
        card = next(((place, it) for place, it in enumerate(entities) if it is not None), None)
        day = event_time_us // DAY_US
        if day > self.day:
            self.day, self.cards = day, set()
        first = card not in self.cards
        self.cards.add(card)
        return first


@dataclass(frozen=True, slots=True)
class JumpEvidence:
    """ln E that the champion's rate has risen, and that it has fallen, by more than the ratio."""

    rise: float
    fall: float


def outcome_log_e(pairs: Pairs, before: float | None, ratio: float, share_min: float) -> JumpEvidence:
    """Return the evidence of a jump of an outcome's rate.

    `before` p is the champion's own rate on traffic from before its promotion, in
    [0, 1] (None: not known); `ratio` R > 1 is what is tolerated, and rates below
    `share_min` are taken for `share_min`, so a handful of alerts is no jump.

    With a and o for "the champion alerts" and "the former one does" (0 or 1), the
    rise bets against E[a] <= R·E[o] by factors 1 + λ (a − R·o) / R, and against
    E[a] <= R·p by 1 + λ (a − R·p) / (R·p); the fall likewise with sides swapped,
    and 1 + λ (p/R − a) / (1 − p/R). Each is averaged over λ in `STAKES`.
    """
    beside_rise = _mean_log_wealth(
        [(pairs.champion_only, 1 / ratio), (pairs.former_only, -1.0), (pairs.both, 1 / ratio - 1)]
    )
    beside_fall = _mean_log_wealth(
        [(pairs.former_only, 1 / ratio), (pairs.champion_only, -1.0), (pairs.both, 1 / ratio - 1)]
    )
    alerted = pairs.both + pairs.champion_only
    quiet = pairs.rows - alerted
    highest = min(ratio * max(before or 0.0, share_min), 1.0)
    since_rise = _mean_log_wealth([(alerted, 1 / highest - 1), (quiet, -1.0)])
    since_fall = beside_fall
    if before is not None and before > share_min:
        lowest = before / ratio
        since_fall = _mean_log_wealth([(quiet, lowest / (1 - lowest)), (alerted, -1.0)])
    # A rate that is next to nothing cannot fall in a way that matters.
    negligible = before is not None and before <= share_min
    if negligible or pairs.former_share <= share_min:
        since_fall = -math.inf
    return JumpEvidence(min(beside_rise, since_rise), min(beside_fall, since_fall))


def _mean_log_wealth(bets: list[tuple[int, float]]) -> float:
    """Return the log of the mean over λ of Π (1 + λ·gain)^count; gains are >= −1."""
    log_wealth = sum((count * np.log1p(STAKES * gain) for count, gain in bets), np.zeros(len(STAKES)))
    return float(logsumexp(log_wealth) - np.log(len(STAKES)))


@dataclass(frozen=True, slots=True)
class Demotion:
    """Frauds that only the champion (`wins`) or only the former one (`losses`) caught, and what follows."""

    wins: int
    losses: int
    log_e: float
    required: float
    value_minor: int

    @property
    def reached(self) -> bool:
        """True when the former champion is shown to catch more, and not less money."""
        return self.log_e >= math.log(self.required) and self.value_minor >= 0

    @property
    def reason(self) -> str:
        """What was found, in words."""
        return (
            f"{self.losses} frauds only the former champion would have caught, {self.wins} only the present "
            f"one did: E = {e_of(self.log_e):.3g}, {self.required:.3g} are needed"
        )


def demotion(votes: Votes, e_value: float) -> Demotion:
    """Judge the former champion, standing as the challenger in `votes`, against the present one.

    `value_minor` is how much more money it caught, base currency minor units.
    """
    caught_minor = int(votes.gained_minor.sum())
    log_e = superiority_log_e(votes.wins, votes.losses)
    return Demotion(votes.losses, votes.wins, log_e, required_e(e_value, 1, 1), caught_minor)
