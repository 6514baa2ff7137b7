"""Attacks bundles of one model with its own recent frauds, as they are known at a cut.

history ─▶ frauds of `attacks.recent`, entities and words of that time ─▶ scenes on a fold of the whole past
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.attacks.campaign import Drawn, Progress, Result, Scene, frauds_of, play, reach_of, scenes
from fraud.attacks.payment import Capabilities
from fraud.attacks.target import Target
from fraud.bundle.bundle import Bundle
from fraud.features.fold import FeatureFold
from fraud.features.state import FeatureState
from fraud.labels.standing import ConflictRule
from fraud.training.history import History
from fraud.training.unseen import Unseen


def red_team(
    history: History,
    bundles: Sequence[Bundle],
    *,
    frauds: int,
    since_us: int | None = None,
    among: NDArray[np.int64] | None = None,
    black_box: bool = True,
    drawn: Drawn | None = None,
    progress: Progress | None = None,
) -> list[list[Result]]:
    """Return a list of results for each bundle, all of one model; empty lists where no fraud is known.

    `since_us` is the first event time of the frauds, of which those count that have matured; default: all
    that are known of `attacks.recent` before the cut. With `among` int64[m] they are some of the frauds at
    these positions, the youngest ones too.
    """
    total, met = scenes_of(
        history, bundles[0].model, frauds=frauds, since_us=since_us, among=among, drawn=drawn
    )
    told: Callable[[int], None] | None = None if progress is None else lambda done: progress(done, total)
    return attack_in(met, history, bundles, black_box=black_box, progress=told)


def scenes_of(
    history: History,
    model: str,
    *,
    frauds: int,
    since_us: int | None = None,
    among: NDArray[np.int64] | None = None,
    unseen: Sequence[Unseen] = (),
    drawn: Drawn | None = None,
) -> tuple[int, Iterator[Scene]]:
    """Return how many scenes there are of a model's frauds, and the scenes; arguments as for `red_team`.

    With `unseen`, frauds that one of these versions may have learned from are left out.

    Whoever keeps them may attack one bundle after the other (`attack_in`) for one fold of the past.
    """
    settings = history.settings
    first_us = history.cut.time_us - settings.attacks.recent if since_us is None else since_us
    # Frauds alone are taken, so how long a silence counts does not matter where verdicts count at once.
    silence_us = None if among is None and since_us is not None else settings.labels.maturity
    judged = history.judged(model, first_us, with_features=False, silence_us=silence_us)
    known = judged.filter(pl.col("is_fraud")).collect()
    if among is not None:
        known = known.filter(pl.Series(np.isin(known["position"].to_numpy(), among), dtype=pl.Boolean))
    recent = history.transactions(model, with_features=False).filter(pl.col("event_time_us") >= first_us)
    for each in unseen:
        known = each.of(known)
    attacked = frauds_of(known, settings, frauds)
    fold = FeatureFold(history.spec, ConflictRule.of(settings.labels), history.view)
    allowed = Capabilities(settings)
    return len(attacked), scenes(fold, history.source, attacked, allowed, reach_of(recent, settings), drawn)


def attack_in(
    met: Iterable[Scene],
    history: History,
    bundles: Sequence[Bundle],
    *,
    black_box: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[list[Result]]:
    """Return a list of results for each bundle, in the order of the scenes."""
    settings = history.settings
    targets = [Target(bundle, history.spec, settings) for bundle in bundles]
    return play(
        FeatureState(history.spec),
        met,
        targets,
        Capabilities(settings),
        black_box=black_box,
        progress=progress,
    )
