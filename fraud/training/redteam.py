"""Attacks bundles of one model with its own recent frauds, as they are known at a cut.

history ─▶ frauds of `attacks.recent`, entities and words of that time ─▶ campaign on a fold of the whole past
"""

from collections.abc import Sequence

import polars as pl

from fraud.attacks.campaign import Drawn, Progress, Result, attack, frauds_of, reach_of
from fraud.attacks.payment import Capabilities
from fraud.attacks.target import Target
from fraud.bundle.bundle import Bundle
from fraud.features.fold import FeatureFold
from fraud.labels.standing import ConflictRule
from fraud.training.history import History


def red_team(
    history: History,
    bundles: Sequence[Bundle],
    *,
    frauds: int,
    since_us: int | None = None,
    black_box: bool = True,
    drawn: Drawn | None = None,
    progress: Progress | None = None,
) -> list[list[Result]]:
    """Return a list of results for each bundle, all of one model; empty lists where no fraud is known.

    `since_us` is the first event time of the frauds; default: `attacks.recent` before the cut.
    """
    settings, model = history.settings, bundles[0].model
    first_us = history.cut.time_us - settings.attacks.recent if since_us is None else since_us
    known = history.judged(model, first_us, with_features=False).filter(pl.col("is_fraud")).collect()
    recent = history.transactions(model, with_features=False).filter(pl.col("event_time_us") >= first_us)
    return attack(
        FeatureFold(history.spec, ConflictRule.of(settings.labels), history.view),
        history.source,
        frauds_of(known, settings, frauds),
        [Target(bundle, history.spec, settings) for bundle in bundles],
        Capabilities(settings),
        reach_of(recent, settings),
        black_box=black_box,
        drawn=drawn,
        progress=progress,
    )
