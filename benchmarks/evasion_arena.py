"""What the rounds of the evasion benchmark share, and one round's steps: fit, attack, judge.

history of the Handbook ─▶ rows of the first cut, frauds with their scenes, clean payments of later weeks
variants found so far ─ fitted ─▶ bundle ─ attacked ─▶ results ─ judge ─▶ a row of figures
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.evasion_rounds import Evaded
from benchmarks.handbook_protocol import day_number
from benchmarks.stability import MODEL, cut_at
from fraud.archive.archive import Archive
from fraud.attacks.campaign import Drawn, Result, Scene, frauds_of, play, reach_of, scenes
from fraud.attacks.curve import summarize
from fraud.attacks.payment import Capabilities, Fraud
from fraud.attacks.target import Target
from fraud.bundle.bundle import Bundle
from fraud.evaluation.metrics import average_precision
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.features.state import FeatureState
from fraud.labels.standing import ConflictRule
from fraud.records import Outcome
from fraud.retrainer.matrices import matrix_of
from fraud.settings import Settings
from fraud.settings.learning import Recipe
from fraud.training.challengers import Plan, train_one
from fraud.training.dataset import TrainingSet, Variants, training_rows
from fraud.training.history import History
from fraud.training.recoverable import recoverable
from fraud.training.splits import Spans, walk_forward

COST = 0.25
"""The point of the curve that bars are about."""
COSTS = (0.05, 0.1, COST, 0.5, 1.0)
WEEKS = 4
RECOVERABLE, ALL = "rec", "all"
"""Begin the columns of the curves: the share of stopped frauds that get through at a cost or less."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The cut of the first model, rounds of hardening, frauds attacked: to learn from, and to judge by."""

    cut: date
    rounds: int
    learned: int
    judged: int


FULL = Scale(date(2018, 7, 15), 5, 200, 120)
QUICK = Scale(date(2018, 6, 3), 1, 30, 30)


@dataclass(frozen=True, eq=False)
class Arena:
    """What all rounds share: rows of the first cut and of the end, scenes of both spans, clean payments.

    The past is folded once, for the scenes; every round is played on them.
    """

    settings: Settings
    rows: TrainingSet
    late: TrainingSet
    late_history: History
    spans: Spans
    scenes: list[Scene]
    clean: pl.DataFrame
    nthread: int = 1

    def judged(self, results: Sequence[Result]) -> list[Result]:
        """Return the results of frauds after training."""
        return [it for it in results if it.fraud.payment.event_time_us >= self.spans.evidence.start_us]


def keeping_terminals(settings: Settings) -> Settings:
    """Return settings whose fraudsters change amount, pace and number of payments alone."""
    return settings.model_copy(update={"attacks": settings.attacks.model_copy(update={"entities": {}})})


def recipe_of(settings: Settings, kind: str) -> Recipe:
    """Return the recipe of all rounds: four weeks; all evasions may weigh as much as all frauds.

    A fifth of the honest rows and a fourth of the bins: a fit takes a quarter of the time, and some
    hundredth of average precision, before hardening and after.
    """
    given = {"kind": kind, "replay_share": 0.0, "variant_weight": 10.0, "variant_share": 1.0}
    # Which frauds are attacked is the scale's business, so the recipe takes all there are variants of.
    given |= {"legitimate_share": 0.2, "max_bin": 1024, "variant_frauds": 10_000}
    return settings.training.recipes["recent"].model_copy(update=given)


def arena_of(settings: Settings, archive: Archive, scale: Scale, nthread: int = 1) -> Arena:
    """Read what all rounds share."""
    spec = FeatureSpec.of(settings)
    cut = cut_at(archive, day_number(scale.cut))
    last = cut_at(archive, day_number(scale.cut) + 7 * WEEKS)
    spans = walk_forward(settings, cut.time_us, recipe_of(settings, "full").window)
    late = History(archive, spec, settings, last)
    known = late.judged(MODEL, spans.train.start_us).collect()
    frauds = known.filter(pl.col("is_fraud"))
    learned = frauds.filter(pl.col("event_time_us") < spans.train.end_us)
    after = pl.col("event_time_us") >= spans.evidence.start_us
    attacked = frauds_of(learned, settings, scale.learned)
    attacked += frauds_of(frauds.filter(after), settings, scale.judged)
    return Arena(
        settings,
        training_rows(History(archive, spec, settings, cut), MODEL),
        training_rows(late, MODEL),
        late,
        spans,
        scenes_of(late, spans, attacked),
        known.filter(after & pl.col("is_fraud").is_not_null()),
        nthread,
    )


def scenes_of(history: History, spans: Spans, frauds: Sequence[Fraud]) -> list[Scene]:
    """Fold the past once; ways are drawn of the frauds before the end of training."""
    settings, asked = history.settings, Recipe(kind="hardened")
    recent = history.transactions(MODEL, with_features=False).filter(
        pl.col("event_time_us") >= spans.train.start_us
    )
    return list(
        scenes(
            FeatureFold(history.spec, ConflictRule.of(settings.labels), history.view),
            history.source,
            frauds,
            Capabilities(settings),
            reach_of(recent, settings),
            Drawn(asked.variant_ways, asked.variant_cost, spans.train.end_us),
        )
    )


def fitted(arena: Arena, kind: str, found: Sequence[Variants]) -> Bundle:
    """Fit the recipe on the first cut, with all evasions found so far."""
    settings = arena.settings
    plan = Plan(
        MODEL,
        kind,
        recipe_of(settings, kind),
        arena.spans,
        settings.models[MODEL].policy,
        settings.training.seed,
        settings.training.frauds_min,
        None,
        "",
    )
    rows = replace(arena.rows, variants=joined(found)) if found else arena.rows
    return Bundle.from_files(train_one(rows, plan, arena.nthread).files)


def joined(found: Sequence[Variants]) -> Variants:
    """Return the variants of several rounds as one; what was drawn is the same each time, and taken once."""
    kept = [np.flatnonzero(each.evades | (number == 0)) for number, each in enumerate(found)]
    starts = np.cumsum([0, *(int(each.attempt.max(initial=-1)) + 1 for each in found[:-1])])
    pairs = list(zip(found, kept, strict=True))
    return Variants(
        np.concatenate([each.features[at] for each, at in pairs]),
        tuple(each.words[place] for each, at in pairs for place in at.tolist()),
        np.concatenate([each.of[at] for each, at in pairs]),
        np.concatenate([each.cost[at] for each, at in pairs]),
        np.concatenate([each.attempt[at] + start for (each, at), start in zip(pairs, starts, strict=True)]),
        np.concatenate([each.evades[at] for each, at in pairs]),
    )


def attacked(arena: Arena, bundle: Bundle) -> list[Result]:
    """Attack a model with all frauds, each in its scene."""
    spec, settings = arena.late_history.spec, arena.settings
    target = Target(bundle, spec, settings)
    return play(FeatureState(spec), arena.scenes, [target], Capabilities(settings))[0]


def judge(
    arena: Arena, bundle: Bundle, results: Sequence[Result]
) -> tuple[dict[str, float], NDArray[np.bool_]]:
    """Return the figures of a model, and which of its evasions are recoverable."""
    judged = arena.judged(results)
    target = Target(bundle, arena.late_history.spec, arena.settings)
    since_us = arena.spans.train.start_us
    caught = recoverable(judged, target, arena.late, since_us, seed=7, nthread=arena.nthread)
    parts = {
        name: summarize(
            [it if yes == wanted else it.without() for it, yes in zip(judged, caught, strict=True)], COSTS
        ).best
        for name, wanted in (("recoverable", True), ("unrecoverable", False))
    }
    whole = summarize(judged, COSTS)
    scores = bundle.scores_of(matrix_of(bundle, arena.clean))
    at = COSTS.index(COST)
    row = {
        "clean AP": average_precision(arena.clean["is_fraud"].to_numpy(), scores),
        "alerts": float(np.mean(bundle.thresholds.outcomes(scores) != int(Outcome.APPROVE))),
        "stopped": whole.stopped / whole.frauds,
        **{f"{RECOVERABLE} {each.cost:.2f}": each.share for each in parts["recoverable"]},
        **{f"{ALL} {each.cost:.2f}": each.share for each in whole.best},
        "unrecoverable": parts["unrecoverable"][at].share,
        "black box": whole.black[at].share,
        "profit": whole.best_profit,
    }
    return row, caught


def still_open(arena: Arena, bundle: Bundle, old: Evaded) -> float:
    """Return the share of earlier evasions that a model accepts as they were; NaN without any."""
    if not len(old.of):
        return float("nan")
    target = Target(bundle, arena.late_history.spec, arena.settings)
    stopped = ~target.accepts(old.features, old.words)
    return 1 - len(np.unique(old.of[stopped])) / len(np.unique(old.of))


def found_anew(results: Sequence[Result], old: Evaded) -> float:
    """Return the share of the frauds of earlier evasions that get past a model, attacked anew or not."""
    frauds = set(old.of.tolist())
    costs = [each.cost for each in results if each.fraud.position in frauds]
    return float(np.mean(np.array(costs) <= COST)) if costs else float("nan")
