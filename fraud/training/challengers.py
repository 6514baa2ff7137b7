"""One challenger for each model and recipe of a cycle.

    training sets ─plans─▶ train_one per (model, recipe) ─files─▶ challengers, or why there is none

A plan and a training set are all a worker needs, and bundle files are all it
gives back, so `train_here` (this process) and `train_challengers` (Ray) run the
same function and give the same bytes. A recipe that fails is reported and loses
nobody else's work.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.errors import FraudError, NotAllowedNow, told
from fraud.evaluation.weighted import effective_sample_size
from fraud.features.encoding import Vocabulary
from fraud.features.spec import FeatureSpec
from fraud.settings import Settings
from fraud.settings.learning import Recipe
from fraud.settings.model import Exploration, Policy
from fraud.training.assemble import assemble, calibration_rows, stopped_by
from fraud.training.dataset import NOT_USABLE, TrainingSet, batches_used
from fraud.training.fit import fit
from fraud.training.hardening import Hardening, hardened, repertoire
from fraud.training.recipes import (
    ChosenRows,
    Parent,
    choose_rows,
    directions,
    matrix_of,
    start_of,
    vocabularies_of,
)
from fraud.training.splits import Spans, walk_forward
from fraud.training.unseen import Apart, Fitted

if TYPE_CHECKING:
    from fraud.training.pool import TrainingPool


@dataclass(frozen=True, slots=True)
class Plan:
    """What one worker does: a recipe on a model, reproducible from here."""

    model: str
    recipe_name: str
    recipe: Recipe
    spans: Spans
    policy: Policy
    seed: int
    frauds_min: int
    parent: Parent | None
    note: str


@dataclass(frozen=True, slots=True)
class Challenger:
    """A fitted bundle with where it came from; `spans.evidence` is what the gate may judge on."""

    model: str
    recipe: str
    bundle: Bundle
    spans: Spans
    manifest: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class FailedRecipe:
    """Why a recipe gave no challenger; `skipped` when nothing went wrong."""

    model: str
    recipe: str
    reason: str
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """What a worker gives back."""

    files: dict[str, bytes]
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """What a worker gives back instead: the problem, for people."""

    problem: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each recipe: which, how many of how many, and the problem if there was one."""

    model: str
    recipe: str
    done: int
    total: int
    problem: str


Report = Callable[[Progress], None]


def _tell_nobody(_: Progress) -> None:
    pass


def train_challengers(
    pool: "TrainingPool",
    sets: Mapping[str, TrainingSet],
    spec: FeatureSpec,
    settings: Settings,
    champions: Mapping[str, Bundle | None],
    progress: Report = _tell_nobody,
) -> list[Challenger | FailedRecipe]:
    """Train every recipe of every model in parallel on Ray; results in the order of models and recipes.

    Each set goes into the object store once and is shared by its tasks.
    """
    plans, results = _plans(sets, spec, settings, champions)
    shared = {model: pool.share(rows) for model, rows in sets.items()}
    nthread = settings.training.threads_per_task
    # The longest first, so that the last worker does not start the longest.
    order = sorted(range(len(plans)), key=lambda i: -_length(plans[i].recipe))
    calls = [(attempt, (shared[plans[i].model], plans[i], nthread)) for i in order]
    for done, (place, outcome) in enumerate(pool.each(calls), 1):
        plan = plans[order[place]]
        results.append(_result(plan, outcome))
        progress(_progress(results[-1], done, len(plans)))
    return _in_order(results, settings)


def _length(recipe: Recipe) -> int:
    """Return what orders recipes by how long they take: the rounds of all their fits over their window."""
    fits = 1 + recipe.variant_rounds if recipe.kind == "hardened" else 1
    return recipe.window * recipe.rounds * fits


def train_here(
    sets: Mapping[str, TrainingSet],
    spec: FeatureSpec,
    settings: Settings,
    champions: Mapping[str, Bundle | None],
    progress: Report = _tell_nobody,
    nthread: int = 1,
) -> list[Challenger | FailedRecipe]:
    """Train the same challengers one after the other in this process, without Ray."""
    plans, results = _plans(sets, spec, settings, champions)
    for done, plan in enumerate(plans, 1):
        results.append(_result(plan, attempt(sets[plan.model], plan, nthread)))
        progress(_progress(results[-1], done, len(plans)))
    return _in_order(results, settings)


def attempt(rows: TrainingSet, plan: Plan, nthread: int) -> Trained | Failed:
    """Do what `train_one` does; describe the failure instead of raising it."""
    try:
        return train_one(rows, plan, nthread)
    except Exception as error:  # noqa: BLE001 — one recipe must not lose the others
        return Failed(told(error))


def train_one(rows: TrainingSet, plan: Plan, nthread: int) -> Trained:
    """Fit one recipe and return its bundle's files. Depends on its arguments alone.

    Raises:
        NotAllowedNow: too few frauds, or nothing to calibrate on.
    """
    started = time.perf_counter()
    chosen = choose_rows(plan.recipe, rows, plan.spans)
    calibration = calibration_rows(rows, plan.spans)
    _check_enough(rows, plan, chosen, len(calibration))
    vocabularies = vocabularies_of(rows, chosen.rows, plan.parent)
    folds = [_without(fold, rows, plan, vocabularies, nthread) for fold in range(rows.folds)]
    booster, variants = _fitted(rows, plan, chosen, vocabularies, nthread, folds)
    manifest = _manifest(rows, plan, chosen, calibration, variants)
    bundle = assemble(
        rows, booster, vocabularies, chosen.rows, plan.spans, plan.policy, manifest, nthread, folds
    )
    return Trained(bundle.files(), time.perf_counter() - started)


def _without(
    fold: int, rows: TrainingSet, plan: Plan, vocabularies: Sequence[Vocabulary], nthread: int
) -> bytes:
    """Fit the booster that judges a fold, as a version whose fold is set apart.

    Words have the codes of the served booster's, by how frequent each is among what teaches it.

    Raises:
        NotAllowedNow: without the fold there is nothing to learn from, or a hardened recipe has nothing in it
            to solve thresholds on.
    """
    own = rows.without(fold)
    parent = None if plan.parent is None else plan.parent.without(fold)
    chosen = choose_rows(plan.recipe, own, plan.spans)
    needs = len(calibration_rows(own, plan.spans)) if plan.recipe.kind == "hardened" else 1
    try:
        _check_enough(own, replace(plan, frauds_min=1), chosen, needs)
    except NotAllowedNow as error:
        raise NotAllowedNow(
            f"fold {fold + 1} of {rows.folds} (training.fresh.folds; fewer need less): {error}"
        ) from None
    return _fitted(own, replace(plan, parent=parent), chosen, vocabularies, nthread)[0]


def _fitted(
    rows: TrainingSet,
    plan: Plan,
    chosen: ChosenRows,
    vocabularies: Sequence[Vocabulary],
    nthread: int,
    folds: Sequence[bytes] = (),
) -> tuple[bytes, int]:
    """Return a booster fitted on the rows chosen, and how many variants it learned beside them."""
    is_fraud = rows.label[chosen.rows] == 1
    matrix = matrix_of(rows, chosen.rows, vocabularies)

    def fit_with(added: Hardening) -> bytes:
        return fit(
            *added.after(matrix, is_fraud, chosen.weights),
            plan.recipe,
            categoricals=len(vocabularies),
            monotone=directions(plan.recipe, rows.feature_names),
            seed=plan.seed,
            nthread=nthread,
            parent=None if plan.parent is None else plan.parent.booster,
        )

    booster, hardening = hardened(
        repertoire(plan.recipe, rows, chosen, vocabularies),
        plan.recipe.variant_rounds,
        fit_with,
        partial(stopped_by, rows, vocabularies, plan.spans, plan.policy, nthread, folds),
    )
    return booster, len(hardening.weights)


def _manifest(
    rows: TrainingSet, plan: Plan, chosen: ChosenRows, calibration: NDArray[np.int64], variants: int
) -> dict[str, Any]:
    """Return what the recipe adds to the set's manifest, with that."""
    parent, shaped = plan.parent, _shaped(rows, plan.spans, chosen.rows, calibration)
    fitted = Fitted.on(plan.spans, Apart.by(rows.manifest), None if parent is None else parent.fitted)
    return {
        **rows.manifest,
        "recipe": plan.recipe_name,
        "parameters": plan.recipe.model_dump(mode="json"),
        "seed": plan.seed,
        "parent": "" if parent is None else parent.digest,
        "note": plan.note,
        "spans": plan.spans.to_dict(),
        "fitted": fitted.to_dict(),
        "label_batches": batches_used(rows.facts, rows.batch_parts, shaped),
        "positions": {
            **rows.manifest["positions"],
            "train": _ends(rows.position[chosen.rows]),
            "calibration": _ends(rows.position[calibration]),
        },
        "rows": {
            **rows.manifest["rows"],
            "train": len(chosen.rows),
            "train_frauds": int((rows.label[chosen.rows] == 1).sum()),
            "calibration": len(calibration),
            "calibration_frauds": int((rows.label[calibration] == 1).sum()),
            "train_variants": variants,
        },
        "effective_sample_size": effective_sample_size(chosen.weights),
    }


def _shaped(
    rows: TrainingSet, spans: Spans, trained: NDArray[np.int64], calibrated: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Mark the rows whose labels shaped a version, bool[n].

    Those it learned from, and those that would have taught, had nobody taken their verdict away.
    """
    times = rows.event_time_us
    within = spans.teaches(times, rows.held) | spans.calibrates(times, rows.judging)
    shaped = np.asarray(within & (rows.label == NOT_USABLE), np.bool_)
    shaped[trained] = shaped[calibrated] = True
    return shaped


def _check_enough(rows: TrainingSet, plan: Plan, chosen: ChosenRows, calibrated: int) -> None:
    # What is replayed weighs as much as the window says, so the window alone has to have enough.
    is_fraud = rows.label[chosen.rows[~chosen.replayed]] == 1
    frauds = int(is_fraud.sum())
    where = f"model {plan.model}, recipe {plan.recipe_name}"
    if frauds < plan.frauds_min:
        raise NotAllowedNow(
            f"{where}: {frauds} frauds in the training rows of the window, "
            f"{plan.frauds_min} needed (training.frauds_min); "
            "wait for labels, lengthen the recipe's window, or shorten labels.maturity and training.embargo"
        )
    if is_fraud.all():
        raise NotAllowedNow(
            f"{where}: all {frauds} training rows are frauds; report payment outcomes or legitimate labels, "
            "or set labels.assume_completed"
        )
    if not calibrated:
        raise NotAllowedNow(
            f"{where}: no usable row in the calibration span, {len(rows)} rows of traffic in all; "
            "wait for more history or lengthen training.calibration"
        )


def _ends(positions: Any) -> list[int]:
    return [int(positions[0]), int(positions[-1])]


def _plans(
    sets: Mapping[str, TrainingSet],
    spec: FeatureSpec,
    settings: Settings,
    champions: Mapping[str, Bundle | None],
) -> tuple[list[Plan], list[Challenger | FailedRecipe]]:
    plans: list[Plan] = []
    skipped: list[Challenger | FailedRecipe] = []
    training = settings.training
    for model, rows in sets.items():
        spec.indices(rows.feature_names)
        # The key of exploration is a secret that no worker needs.
        policy = settings.models[model].policy.model_copy(update={"exploration": Exploration()})
        for name, recipe in training.recipes.items():
            spans = walk_forward(settings, rows.cut.time_us, recipe.window)
            start = start_of(recipe, list(training.recipes.values()), rows, spans, champions.get(model))
            if start.skip:
                skipped.append(FailedRecipe(model, name, start.note, skipped=True))
                continue
            plans.append(
                Plan(
                    model,
                    name,
                    recipe,
                    spans,
                    policy,
                    training.seed,
                    training.frauds_min,
                    start.parent,
                    start.note,
                )
            )
    return plans, skipped


def _result(plan: Plan, outcome: Trained | Failed | Exception) -> Challenger | FailedRecipe:
    if not isinstance(outcome, Trained):
        problem = outcome.problem if isinstance(outcome, Failed) else str(outcome)
        return FailedRecipe(plan.model, plan.recipe_name, problem)
    try:
        bundle = Bundle.from_files(outcome.files)
    except FraudError as error:
        return FailedRecipe(plan.model, plan.recipe_name, told(error))
    return Challenger(plan.model, plan.recipe_name, bundle, plan.spans, bundle.manifest, outcome.seconds)


def _progress(result: Challenger | FailedRecipe, done: int, total: int) -> Progress:
    problem = result.reason if isinstance(result, FailedRecipe) else ""
    return Progress(result.model, result.recipe, done, total, problem)


def _in_order(
    results: list[Challenger | FailedRecipe], settings: Settings
) -> list[Challenger | FailedRecipe]:
    models, recipes = list(settings.models), list(settings.training.recipes)
    return sorted(results, key=lambda result: (models.index(result.model), recipes.index(result.recipe)))
