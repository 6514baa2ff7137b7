"""The Handbook's months as a monitored service: champions, feeds honest or polluted, and an attack.

    payments as logged ─ every four weeks ─▶ training path of the project ─▶ a bundle ─▶ scores, outcomes
                       ─ labels of a variant ─▶ frames with the columns of the archive

Champions are trained on the clean stream and are the same in every variant: what is measured
is how soon somebody is told, not what a retrain would make of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.guard import CHAMPION, CHAMPION_DAYS, MODEL, World
from benchmarks.guard_feed import Frames, Pollution, chargebacks, frames
from fraud.bundle.bundle import Bundle
from fraud.clock import DAY_US
from fraud.records import Outcome
from fraud.retrainer.matrices import matrix_of
from fraud.settings import Settings
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import training_rows
from fraud.training.history import Cut, History

FIRST_CHAMPION = 52
"""Training, embargo, calibration, evidence and maturity before it."""
NEW_TERMINALS = 20

Attack = Callable[[pl.DataFrame, int], pl.DataFrame]
"""(payments with truth, first day) → the same payments with another truth."""


@dataclass(frozen=True, eq=False)
class Reign:
    """A champion from a day of the stream on, with its score of every payment, float64[n]."""

    day: int
    bundle: Bundle
    scores: NDArray[np.float64]

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{MODEL}-{self.day}"

    @property
    def evidence_us(self) -> tuple[int, int]:
        """The span that it was judged on before it served; it had seen nothing of it or later."""
        start_us, end_us = self.bundle.manifest["spans"]["evidence_us"]
        return int(start_us), int(end_us)


@dataclass(frozen=True)
class Variant:
    """One history: what was fraud, and what of it was told. `start` is its first odd day, None: clean."""

    name: str
    start: int | None = None
    pollution: Pollution | None = None
    attack: Attack | None = None


@dataclass(frozen=True, eq=False)
class Stream:
    """Payments in order of position from 1, their champions, and the settings they are watched by."""

    world: World
    settings: Settings
    reigns: tuple[Reign, ...]

    @cached_property
    def days(self) -> NDArray[np.int64]:
        """The day of each payment, counted from the stream's first, int64[n]."""
        days: NDArray[np.int64] = self.world.payments["event_time_us"].to_numpy() // DAY_US - self.world.first
        return days

    def reign(self, day: int) -> Reign | None:
        """Return the champion at the end of a day."""
        begun = [reign for reign in self.reigns if reign.day <= day]
        return begun[-1] if begun else None

    def cut(self, day: int) -> Cut:
        """Return what is known at the end of a day."""
        return Cut(len(self.world.payments), (self.world.first + day + 1) * DAY_US - 1)

    def history(self, variant: Variant) -> Frames:
        """Return a variant as the archive would hold it."""
        truth = self.world.payments
        start = self.world.first + (variant.start or 0)
        if variant.attack is not None:
            truth = variant.attack(truth, start)
        labels = chargebacks(truth)
        if variant.pollution is not None:
            labels = variant.pollution(truth, labels, start)
        return frames(truth.drop("is_fraud"), labels.with_columns(digest=pl.lit("")))


def moved(share: float) -> Attack:
    """From a day on, a share of the fraud is of a kind that nobody has seen: at terminals never suspected.

    As many honest payments there are fraud as known frauds end; what the champion
    sees of them is what it sees of any payment there.
    """

    def attack(payments: pl.DataFrame, start: int) -> pl.DataFrame:
        rng = np.random.default_rng(start)
        late = payments["event_time_us"].to_numpy() // DAY_US >= start
        truth = payments["is_fraud"].to_numpy().copy()
        merchants = payments["entity_merchant"].to_numpy()
        clean = np.setdiff1d(np.unique(merchants), np.unique(merchants[truth]))
        ended = late & truth & (rng.random(len(truth)) < share)
        at_new = late & ~truth & np.isin(merchants, rng.choice(clean, NEW_TERMINALS, replace=False))
        chance = min(1.0, ended.sum() / max(at_new.sum(), 1))
        truth[ended] = False
        truth[at_new & (rng.random(len(truth)) < chance)] = True
        return payments.with_columns(is_fraud=pl.Series(truth))

    return attack


def with_champions(world: World, settings: Settings) -> Stream:
    """Train a champion every four weeks as the retrainer would, and fill in what they answered."""
    approved = pl.lit(int(Outcome.APPROVE), pl.Int32)
    payments = world.payments.with_columns(imported=pl.lit(value=False), outcome=approved)
    clean = Stream(replace(world, payments=payments), settings, ())
    history = clean.history(Variant("clean"))
    policy = settings.models[MODEL].policy.model_copy(update={"decline": None})
    model = settings.models[MODEL].model_copy(update={"policy": policy})
    training = settings.training.model_copy(update={"recipes": {"full": CHAMPION}})
    settings = settings.model_copy(update={"models": {MODEL: model}, "training": training})
    reigns = []
    for day in range(FIRST_CHAMPION, world.days, CHAMPION_DAYS):
        rows = training_rows(History(history, world.spec, settings, clean.cut(day - 1)), MODEL)
        challenger = train_here({MODEL: rows}, world.spec, settings, {}, nthread=2)[0]
        if not isinstance(challenger, Challenger):
            raise RuntimeError(f"no champion on day {day}: {challenger.reason}")
        reigns.append(Reign(day, challenger.bundle, _scores(challenger.bundle, payments)))
    return Stream(replace(world, payments=_answered(payments, clean.days, reigns)), settings, tuple(reigns))


def _scores(bundle: Bundle, payments: pl.DataFrame) -> NDArray[np.float64]:
    """Score all payments from the bundle's evidence on; NaN before."""
    start_us = int(bundle.manifest["spans"]["evidence_us"][0])
    late = payments.filter(pl.col("event_time_us") >= start_us)
    scores = np.full(len(payments), np.nan)
    scores[len(payments) - len(late) :] = bundle.scores_of(matrix_of(bundle, late))
    return scores


def _answered(payments: pl.DataFrame, days: NDArray[np.int64], reigns: list[Reign]) -> pl.DataFrame:
    scores = np.full(len(payments), np.nan)
    outcomes = np.full(len(payments), int(Outcome.APPROVE), np.int32)
    for reign in reigns:
        served = days >= reign.day
        scores[served] = reign.scores[served]
        outcomes[served] = reign.bundle.thresholds.outcomes(reign.scores[served])
    return payments.with_columns(
        score=pl.Series(scores, dtype=pl.Float64).fill_nan(None), outcome=pl.Series(outcomes)
    )
