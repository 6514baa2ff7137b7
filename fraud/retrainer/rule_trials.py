"""Tries rules on the archive of a data folder, beside whatever runs on it.

archived payments of a model, features as they were logged, labels as known now
  → what the model alone made of each: logged, or by its thresholds where a rule or list decided
  → `fraud.policy.rule_trial`
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from fraud.archive.archive import Archive
from fraud.bundle.store import BundleStore
from fraud.errors import FraudError, NotFound
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.labels.maturity import judged
from fraud.policy.rule_columns import RuleColumns
from fraud.policy.rule_language import CompiledRules
from fraud.policy.rule_trial import NEEDED, Trial, trial
from fraud.policy.rules import RuleSet
from fraud.records import Outcome
from fraud.registry.ledger import RegistryState
from fraud.settings import Settings
from fraud.training.history import Cut, History

_NAMES: Final = {int(outcome): outcome.name for outcome in Outcome if outcome is not Outcome.UNSPECIFIED}
_ASKED: Final = ("outcome", "explored", "rule", "score", "version", "imported")


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A trial and its span of event times, µs UTC; of `unknown` rows the model's own outcome is not known."""

    trial: Trial
    since_us: int
    until_us: int
    unknown: int


def try_rules(
    settings: Settings, state: RegistryState, model: str, rules: RuleSet, span_us: int
) -> PastTrial:
    """Ask rules about the payments of the last `span_us` before the archive ends.

    Raises:
        NotFound: the archive holds no payment of the model in that span.
        InvalidInput: a rule does not fit the configuration.
    """
    spec = FeatureSpec.of(settings)
    columns = RuleColumns.of(spec, settings.schema_)
    compiled = CompiledRules.of(rules, columns)
    archive = open_archive(settings)
    with archive.reading():
        rows = _past(settings, state, archive, spec, model, span_us)
        table = rows.select(
            *NEEDED[:2],
            *_ASKED,
            "event_time_us",
            *(
                expression.alias(f"column_{name}")
                for name in compiled.columns
                if (expression := columns.archived(name)) is not None
            ),
        ).collect()
    if table.is_empty():
        raise NotFound(
            f"the archive holds no payment of {model!r} in that time; give a longer --since, or wait "
            "until the retrainer has copied the log"
        )
    alone = _alone(settings, state, model, table)
    payments = table.select(
        *NEEDED[:2],
        alerted=alone.is_in([n for n in _NAMES if n != int(Outcome.APPROVE)]),
        **{
            name: pl.col(f"column_{name}") if f"column_{name}" in table.columns else _words(alone)
            for name in compiled.columns
        },
    )
    times = table["event_time_us"].to_numpy()
    return PastTrial(trial(compiled, payments), int(times.min()), int(times.max()), alone.null_count())


def _past(
    settings: Settings,
    state: RegistryState,
    archive: Archive,
    spec: FeatureSpec,
    model: str,
    span_us: int,
) -> pl.LazyFrame:
    """Return the newest payments of a model, with what is known of them now."""
    own = archive.transactions().filter(pl.col("model") == model)
    ends = own.select(pl.col("arrival_time_us", "event_time_us").max()).collect().row(0)
    position, arrival_us, event_us = archive.position(), ends[0] or 0, ends[1] or 0
    history = History(archive, spec, settings, Cut(position, arrival_us), state.view())
    return judged(
        history.transactions(model, with_features=False).filter(pl.col("event_time_us") > event_us - span_us),
        history.standing(),
        archive.outcomes(),
        settings.labels,
        arrival_us,
        silence_us=settings.labels.maturity,
    )


def _alone(settings: Settings, state: RegistryState, model: str, table: pl.DataFrame) -> pl.Series:
    """Return what the model alone made of each row, as `Outcome` numbers; null where that is not known."""
    ruled = (table["rule"].fill_null("") != "").to_numpy()
    logged = np.where(table["explored"].to_numpy(), int(Outcome.DECLINE), table["outcome"].to_numpy())
    found = np.where(ruled | table["imported"].to_numpy(), -1, logged)
    versions = table["version"].to_numpy()
    scores = table["score"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    found[ruled & (versions == "")] = int(Outcome[settings.models[model].no_champion])
    bundles = BundleStore(settings.places.bundles)
    for version in np.unique(versions[ruled & (versions != "")]).tolist():
        at = ruled & (versions == version)
        try:
            found[at] = bundles.read(state.version(version).digest).thresholds.outcomes(scores[at])
        except FraudError:
            continue  # retention let it go; the rows count as not known
    return pl.Series("alone", found).replace(-1, None)


def _words(outcomes: pl.Series) -> pl.Series:
    return outcomes.replace_strict(_NAMES, default=None, return_dtype=pl.String)
