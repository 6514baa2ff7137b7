"""Evasion before and after hardening: five rounds of attacker and recipe on the Handbook's frauds.

    a model of four weeks ─ white box, the frauds of its training span ─▶ cheapest evasions
      ─ hardened recipe: frauds, all evasions found so far, other ways ─▶ next model ─ attacked again ─▶ …
    each model beside: frauds of the four weeks after, attacked; average precision on all payments of then

Attacks go through the kernel: amount, pace, split payments, and in a second run another
terminal as well, at the costs of `[attacks]`'s defaults. An evasion is recoverable when a model
that was fitted with such evasions of other cards catches it at the same rate of false alarms; the
others leave no trace in the features, and no number of rounds brings them back. `old ways` are the
recoverable evasions of the first model at a quarter of the value, as they were: the share that a
later one still accepts. That is what a retrain can do about an attack that it has seen.

An attacker who knows the trees, and a prober who does not, answer each model anew and find other
ways: bars of their own ask for half of what they found at first, of all frauds (`recoverable`) and of
the very ones that had a recoverable evasion before (`same anew`: any evasion of theirs counts, as
does one that is not stopped at all). `alerts` is the share of payments after training that a model
stops: the attack meets the same budget each time. Total evasion stands beside, and is not claimed.

`--quick` imports ten weeks, attacks few frauds and hardens once.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.handbook import CONFIG, DATA, OBTAIN
from benchmarks.handbook_protocol import day_number
from benchmarks.report import Bar, Report, finish, parser
from benchmarks.stability import MODEL, cut_at, load
from benchmarks.workspace import workspace
from fraud.archive.archive import Archive
from fraud.attacks.campaign import Drawn, Result, attack, frauds_of, reach_of
from fraud.attacks.curve import summarize
from fraud.attacks.payment import Capabilities, Fraud
from fraud.attacks.target import Target
from fraud.bundle.bundle import Bundle
from fraud.evaluation.metrics import average_precision
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.records import Outcome
from fraud.retrainer.casework import matrix_of
from fraud.settings import Settings, load_settings
from fraud.settings.learning import Recipe
from fraud.training.challengers import Plan, train_one
from fraud.training.dataset import TrainingSet, Variants, training_rows
from fraud.training.history import History
from fraud.training.recoverable import recoverable
from fraud.training.splits import Spans, walk_forward
from fraud.training.variants import variants_of

COST = 0.25
PRICE_MAX = 0.03
WEEKS = 4


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
    """What all rounds share: rows of the first cut and of the end, frauds of both spans, clean payments."""

    settings: Settings
    archive: Archive
    rows: TrainingSet
    late: TrainingSet
    late_history: History
    spans: Spans
    frauds: list[Fraud]
    clean: pl.DataFrame

    def judged(self, results: Sequence[Result]) -> list[Result]:
        """Return the results of frauds after training."""
        return [it for it in results if it.fraud.payment.event_time_us >= self.spans.evidence.start_us]


def main() -> int:
    """Import, attack, harden, report."""
    arguments = parser(__doc__.partition("\n")[0])
    arguments.add_argument("--data", type=Path, default=DATA, help="Parquet of the transactions")
    given = arguments.parse_args()
    if not given.data.is_file():
        print(OBTAIN.format(path=given.data), file=sys.stderr)
        return 2
    report = Report("Evasion over rounds of hardening, frauds of the Handbook attacked through the kernel")
    with workspace("evasion") as folder:
        settings = load_settings(CONFIG, {"FRAUD__SERVICE__DATA_DIR": str(folder / "data")})
        scale = QUICK if given.quick else FULL
        archive = load(settings, given.data, date.fromordinal(scale.cut.toordinal() + 7 * WEEKS))
        for means, allowed in (("own terminal", keeping_terminals(settings)), ("any terminal", settings)):
            measure(arena_of(allowed, archive, scale), means, scale, report)
    return finish(report, given)


def keeping_terminals(settings: Settings) -> Settings:
    """Return settings whose fraudsters change amount, pace and number of payments alone."""
    return settings.model_copy(update={"attacks": settings.attacks.model_copy(update={"entities": {}})})


def recipe_of(settings: Settings, kind: str) -> Recipe:
    """Return the recipe of all rounds: four weeks; all evasions may weigh as much as all frauds."""
    given = {"kind": kind, "replay_share": 0.0, "variant_weight": 10.0, "variant_share": 1.0}
    return settings.training.recipes["recent"].model_copy(update=given)


def arena_of(settings: Settings, archive: Archive, scale: Scale) -> Arena:
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
        archive,
        training_rows(History(archive, spec, settings, cut), MODEL),
        training_rows(late, MODEL),
        late,
        spans,
        attacked,
        known.filter(after & pl.col("is_fraud").is_not_null()),
    )


def measure(arena: Arena, means: str, scale: Scale, report: Report) -> None:
    """Run the rounds; fill in rows and bars."""
    found: list[Variants] = []
    old: list[Result] = []
    rows: list[dict[str, Any]] = []
    for number in range(scale.rounds + 1):
        bundle = fitted(arena, "hardened" if found else "full", found)
        started = time.perf_counter()
        results = attacked(arena, bundle)
        row, caught = judge(arena, bundle, results)
        if not number:
            judged = arena.judged(results)
            old = [each for each, yes in zip(judged, caught, strict=True) if yes and each.cost <= COST]
        row["old ways"] = still_open(arena, bundle, old)
        row["same anew"] = found_anew(arena.judged(results), old)
        rows.append({"means": means, "round": number, **row, "s": round(time.perf_counter() - started)})
        found.append(variants_of(arena.rows, arena.late_history, results))
    report.rows += rows
    first, last = rows[0], rows[-1]
    price = 1 - last["clean AP"] / first["clean AP"]
    left = last["recoverable"] / first["recoverable"] if first["recoverable"] else float("nan")
    report.bars += [
        Bar(f"{means}: first recoverable evasions that still get through", last["old ways"], 0.5, False),
        Bar(f"{means}: recoverable evasion found anew, last round ÷ before", left, 0.5, False),
        Bar(
            f"{means}: frauds of the first recoverable evasions that evade anew",
            last["same anew"],
            0.5,
            False,
        ),
        Bar(f"{means}: price in clean average precision", price, PRICE_MAX, False),
    ]
    report.notes.append(
        f"{means}: {len(arena.frauds)} frauds attacked in each round, at most {scale.judged} of them, after "
        f"training, to judge by; shares are of the stopped ones, recoverable and not at a cost of {COST:.0%}"
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
    return Bundle.from_files(train_one(rows, plan, len(os.sched_getaffinity(0))).files)


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
    """Attack a model with all frauds, folding the past once."""
    history, settings = arena.late_history, arena.settings
    asked = Recipe(kind="hardened")
    recent = history.transactions(MODEL, with_features=False).filter(
        pl.col("event_time_us") >= arena.spans.train.start_us
    )
    (results,) = attack(
        FeatureFold(history.spec, ConflictRule.of(settings.labels), history.view),
        arena.archive,
        arena.frauds,
        [Target(bundle, history.spec, settings)],
        Capabilities(settings),
        reach_of(recent, settings),
        drawn=Drawn(asked.variant_ways, asked.variant_cost, arena.spans.train.end_us),
    )
    return results


def judge(
    arena: Arena, bundle: Bundle, results: Sequence[Result]
) -> tuple[dict[str, float], NDArray[np.bool_]]:
    """Return the figures of a model, and which of its evasions are recoverable."""
    judged = arena.judged(results)
    target = Target(bundle, arena.late_history.spec, arena.settings)
    nthread = len(os.sched_getaffinity(0))
    caught = recoverable(judged, target, arena.late, arena.spans.train.start_us, seed=7, nthread=nthread)
    parts = {
        name: [it if yes == wanted else it.without() for it, yes in zip(judged, caught, strict=True)]
        for name, wanted in (("recoverable", True), ("unrecoverable", False))
    }
    whole = summarize(judged, (0.1, COST, 0.5))
    scores = bundle.scores(bundle.margins(matrix_of(bundle, arena.clean)))
    row = {
        "clean AP": average_precision(arena.clean["is_fraud"].to_numpy(), scores),
        "alerts": float(np.mean(bundle.thresholds.outcomes(scores) != int(Outcome.APPROVE))),
        "stopped": whole.stopped / whole.frauds,
        "evade at 10 %": whole.white[0].share,
        "at 25 %": whole.white[1].share,
        "at 50 %": whole.white[2].share,
        **{name: summarize(part, (COST,)).white[0].share for name, part in parts.items()},
        "black box at 25 %": whole.black[1].share,
        "profit": whole.white_profit,
    }
    return row, caught


def still_open(arena: Arena, bundle: Bundle, old: Sequence[Result]) -> float:
    """Return the share of earlier evasions that a model accepts as they were."""
    target = Target(bundle, arena.late_history.spec, arena.settings)
    accepted = [
        bool(target.accepts(each.features, [payment.words for payment in each.payments]).all())
        for each in (result.best for result in old)
        if each is not None
    ]
    return float(np.mean(accepted)) if accepted else float("nan")


def found_anew(results: Sequence[Result], old: Sequence[Result]) -> float:
    """Return the share of the frauds of earlier results that get past a model, attacked anew or not."""
    frauds = {each.fraud.position for each in old}
    costs = [each.cost for each in results if each.fraud.position in frauds]
    return float(np.mean(np.array(costs) <= COST)) if costs else float("nan")


if __name__ == "__main__":
    sys.exit(main())
