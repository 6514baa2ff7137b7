"""Has the guard judge a model's data at a cut, and says what may be trained on.

    archive through the view ─ gather ─▶ small tables ─ doubted? ─▶ cross-fitted scores (floods teach none)
      ─ examine ─▶ findings ─ overrides of the request ─▶ ruling ─▶ ledger, metrics
        frozen: no training of the model     dropped: hidden from this run and the next ones

What came in since the data was last found fit is judged, so a finding stays
until the data is mended or excluded, or a person passes over its check.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray

from fraud.guard.belief import doubted
from fraud.guard.data import GuardData
from fraud.guard.delays import LabelDelay, label_delays, maturity_us
from fraud.guard.examine import Ruling, examine, rule_on
from fraud.guard.finding import CHECKS
from fraud.guard.floods import told_by_floods
from fraud.guard.gathering import gather, recent_traffic
from fraud.guard.scope import Scope
from fraud.labels.exclusions import EVERYTHING, Exclusion
from fraud.labels.standing import ConflictRule
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.registry.guard_reports import GuardReport
from fraud.retrainer.thinning import one_in
from fraud.settings import Settings
from fraud.settings.learning import MeasuredMaturity
from fraud.training.crossfit import crossfit
from fraud.training.history import History
from fraud.training.weights import draws_of

_log = structlog.get_logger("fraud.retrainer.guarding")
Run = Callable[..., Any]
"""Calls a function with arguments, here or on a worker."""


def run_here(function: Callable[..., Any], *args: Any) -> Any:
    """Call in this process."""
    return function(*args)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The guard's ruling on one model, and the exclusions of this and earlier runs that it asks for.

    `delays` are those of the model's fraud labels, by source.
    """

    model: str
    ruling: Ruling
    dropped: tuple[tuple[str, Exclusion], ...]
    delays: tuple[LabelDelay, ...] = ()

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """What training must not see beside what the view hides."""
        return tuple(exclusion for _, exclusion in self.dropped)

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement for the ledger."""
        return {
            "model": self.model,
            "findings": [finding.to_dict() for finding in self.ruling.findings],
            "frozen": self.ruling.frozen,
            "dropped": [{"check": check, "exclusion": it.to_dict()} for check, it in self.dropped],
            "overridden": list(self.ruling.overridden),
        }


def judge_data(
    history: History,
    model: str,
    former: GuardReport | None,
    overrides: Sequence[str] = (),
    run: Run = run_here,
) -> Judgement:
    """Judge the data of a model that a cycle at `history.cut` would train on.

    Args:
        history: the archive at the cut, through the exclusions in force.
        model: its name.
        former: the last report on the model, None for the first; what it dropped stays dropped.
        overrides: checks that are passed over.
        run: where models are cross-fitted.
    """
    kept = () if former is None else former.dropped
    kept = tuple((check, exclusion) for check, exclusion in kept if check not in overrides)
    seen = replace(history, view=history.view.with_([exclusion for _, exclusion in kept]))
    data = data_of(seen, model, 0 if former is None else former.fit_until_us, run)
    ruling = rule_on(examine(data, history.settings.guard), overrides)
    measured = history.settings.labels.measured or MeasuredMaturity()
    dropped = tuple(dict.fromkeys((*kept, *ruling.dropped)))
    return Judgement(model, ruling, dropped, label_delays(data, measured.quantile))


def with_maturity(settings: Settings, delays: Iterable[Sequence[LabelDelay]]) -> Settings:
    """Return settings whose label maturity is that of the slowest model, where it is to be measured."""
    if settings.labels.measured is None:
        return settings
    longest = max(maturity_us(each, settings.labels) for each in delays)
    return settings.model_copy(update={"labels": settings.labels.model_copy(update={"maturity": longest})})


def data_of(history: History, model: str, fit_until_us: int, run: Run = run_here) -> GuardData:
    """Gather what the guard judges; models are cross-fitted only where it doubts a batch or a submitter.

    `fit_until_us` is up to when the data was last found fit, 0 for never: then
    the last day is judged.
    """
    data, scope = _gathered(history, model, fit_until_us)
    if not doubted(data, history.settings.guard):
        return data
    own = _all_traffic(history, model)
    return _crossfitted(recent_traffic(own, scope), data, history, model, run)


def flow_of(history: History, model: str, fit_until_us: int = 0) -> GuardData:
    """Gather the same as `data_of` without any model; by default for the last day."""
    return _gathered(history, model, fit_until_us)[0]


def _all_traffic(history: History, model: str) -> pl.LazyFrame:
    """Return all that came of a model, as logged: to hide it or to set it apart makes no feed silent."""
    everything = replace(history, view=EVERYTHING, without=frozenset())
    return everything.transactions(model, with_features=False)


def _gathered(history: History, model: str, fit_until_us: int) -> tuple[GuardData, Scope]:
    settings, cut = history.settings, history.cut
    known = pl.col("arrival_time_us") <= cut.time_us
    retractions = history.source.retractions(cut.position).filter(known)
    retracted = retractions.group_by("batch_id").agg(pl.col("arrival_time_us").min()).collect()
    scope = Scope(
        cut_time_us=cut.time_us,
        judged_until_us=fit_until_us or cut.time_us,
        maturity_us=settings.labels.maturity,
        rules=settings.guard,
        view=history.view,
        retracted=dict(retracted.iter_rows()),
        conflict=ConflictRule.of(settings.labels),
    )
    own = _all_traffic(history, model)
    labels = history.source.labels(cut.position).filter(known)
    outcomes = history.source.outcomes(cut.position).filter(known)
    return gather(own, labels, outcomes, scope), scope


def _crossfitted(
    transactions: pl.LazyFrame, data: GuardData, history: History, model: str, run: Run
) -> GuardData:
    """Add cross-fitted scores: labelled rows, and a sample of traffic that stands for the rest.

    What floods alone say is scored and teaches nobody.
    """
    settings = history.settings
    names = [f"f_{name}" for name in history.spec.select(settings.models[model].features)]
    words = [f"categorical_{name}" for name in settings.categoricals_of(model)]
    step = max(1, int(data.traffic.sum()) // settings.guard.implausible_batch.sample_rows)
    verdicts = data.scored.unique("transaction_id", keep="last", maintain_order=True)
    labelled = verdicts.lazy().select("transaction_id", "fraud")
    rows = (
        # Chosen before the join, or it would hold the features of all.
        transactions.filter(
            pl.col("transaction_id").is_in(verdicts["transaction_id"].implode()) | one_in(step)
        )
        .select("transaction_id", "position", *names, *words)
        .join(labelled, on="transaction_id", how="left")
        .sort("position")
        .collect()
    )
    is_fraud = rows["fraud"].fill_null(value=False).to_numpy()
    weights = np.where(rows["fraud"].is_null().to_numpy(), float(step), 1.0)
    draws = draws_of(rows["transaction_id"])
    matrix = _matrix(rows, names, words)
    flooded = told_by_floods(data, settings.guard).implode()
    teaches = rows.select(~pl.col("transaction_id").is_in(flooded)).to_series().to_numpy()
    scores = run(crossfit, matrix, is_fraud, weights, draws, len(words), settings.training.seed, teaches)
    found = rows.select("transaction_id", crossfit=pl.Series(scores, dtype=pl.Float64).fill_nan(None))
    sampled = found.filter(rows.select(one_in(step)).to_series())["crossfit"].drop_nulls()
    low = sampled.quantile(settings.guard.implausible_batch.low_share) if len(sampled) else None
    scored = data.scored.drop("crossfit").join(found, on="transaction_id", how="left", maintain_order="left")
    return replace(data, scored=scored, crossfit_low=low)


def _matrix(rows: pl.DataFrame, names: Sequence[str], words: Sequence[str]) -> NDArray[np.float32]:
    """Return features, then words as codes, float32[n, d]; NaN where missing."""
    matrix = np.empty((len(rows), len(names) + len(words)), np.float32)
    for place, name in enumerate(names):
        matrix[:, place] = rows[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    for place, name in enumerate(words, len(names)):
        column = rows[name].replace("", None)
        known = pl.Enum(column.drop_nulls().unique().sort())
        codes = column.cast(known).to_physical().cast(pl.Float32)
        matrix[:, place] = codes.fill_null(float("nan")).to_numpy()
    return matrix


def publish(judgement: Judgement, metrics: RetrainerMetrics) -> None:
    """Show a judgement in the metrics and the log of the process."""
    counts = Counter(finding.check for finding in judgement.ruling.findings)
    metrics.guarded(
        judgement.model, {check: counts[check] for check in CHECKS}, frozen=judgement.ruling.frozen
    )
    for finding in judgement.ruling.findings:
        _log.warning(
            "guard finding",
            model=judgement.model,
            check=finding.check,
            subject=finding.subject,
            action="overridden" if finding.check in judgement.ruling.overridden else finding.action,
            why=finding.reason,
        )
