"""Promotes what has proved itself in shadow (`gate.mode = "shadow"`).

the gate says PROMOTE → the scorer puts the version in shadow (`fraud.registry.shadows`)
→ its logged scores and outcomes are read from the archive → wait, promoted, or dropped
"""

import numpy as np
import polars as pl
import structlog

from fraud.bundle.bundle import Bundle
from fraud.errors import NotAllowedNow, StaleHead
from fraud.gate.probation import Pairs
from fraud.gate.shadow import ShadowRecord, judge_shadow
from fraud.records import Outcome
from fraud.registry.approval import awaiting_approval
from fraud.registry.store import promote
from fraud.registry.version import VersionState
from fraud.retrainer.casework import TRAFFIC_US, matrix_of
from fraud.retrainer.cycle import ACTOR, Workshop
from fraud.training.history import Cut, History

_log = structlog.get_logger("fraud.retrainer.shadowing")
COMPARED_ROWS = 2_000
"""Newest rows whose logged scores are computed again."""


def settle_shadowed(shop: Workshop) -> None:
    """Promote or drop what awaits its time in shadow; nothing where another mode is set."""
    if shop.settings.gate.mode != "shadow":
        return
    for model in shop.settings.models:
        for version in awaiting_approval(shop.state(), model):
            record = shadow_record(shop, version)
            found = judge_shadow(record, shop.settings.gate)
            if found.answer == "failed":
                _drop(shop, version, f"failed in shadow: {found.reason}")
            elif found.answer == "ready" and _promote(shop, version, found.reason):
                break


def shadow_record(shop: Workshop, version: VersionState) -> ShadowRecord:
    """Read from the archive what a version did in shadow."""
    cut = Cut(shop.archive.position(), shop.clock.now_us())
    history = History(shop.archive, shop.spec, shop.settings, cut, shop.state().view())
    rows = in_shadow(history, version)
    newest = rows.tail(COMPARED_ROWS)
    bundle = shop.bundles.read(version.digest)
    given = newest["shadow_score"].to_numpy()
    again = bundle.scores(bundle.margins(matrix_of(bundle, newest))) if len(newest) else np.empty(0)
    return ShadowRecord(
        rows=len(rows),
        since_us=int(rows["arrival_time_us"].to_numpy().min()) if len(rows) else 0,
        now_us=cut.time_us,
        compared=len(newest),
        differing=int(np.sum(given != again)),
        pairs=_pairs(rows),
        before=_foreseen(history, version, bundle),
    )


def in_shadow(history: History, version: VersionState) -> pl.DataFrame:
    """Return the rows a version scored in shadow, by position, as logged.

    What it made of them stands in `shadow_score` and `shadow_outcome`.
    """
    own = pl.col("shadows").list.eval(
        pl.element().filter(pl.element().struct.field("version") == version.version)
    )
    return (
        history.transactions(version.model, with_features=False)
        .filter((pl.col("position") > version.cut_position) & pl.col("shadows").is_not_null())
        .with_columns(own.list.first().alias("own"))
        .filter(pl.col("own").is_not_null())
        .with_columns(
            pl.col("own").struct.field("score").alias("shadow_score"),
            pl.col("own").struct.field("outcome").alias("shadow_outcome"),
        )
        .sort("position")
        .collect()
    )


def _pairs(rows: pl.DataFrame) -> Pairs:
    """Count alerts on payments that the champion decided, the version in shadow standing first."""
    decided = rows.filter(pl.col("score").is_not_null() & pl.col("rule").is_null())
    theirs = (decided["outcome"] != int(Outcome.APPROVE)) | decided["explored"]
    mine = decided["shadow_outcome"] != int(Outcome.APPROVE)
    both, mine_only = int((mine & theirs).sum()), int((mine & ~theirs).sum())
    theirs_only = int((~mine & theirs).sum())
    return Pairs(both, mine_only, theirs_only, len(decided) - both - mine_only - theirs_only)


def _foreseen(history: History, version: VersionState, bundle: Bundle) -> float | None:
    """Return the share of alerts the version has on the week before its cut; None without payments."""
    week = pl.col("event_time_us").is_between(version.cut_time_us - TRAFFIC_US, version.cut_time_us)
    known = pl.col("position") <= version.cut_position
    rows = history.transactions(version.model, with_features=False).filter(week & known).collect()
    if rows.is_empty():
        return None
    outcomes = bundle.thresholds.outcomes(bundle.scores(bundle.margins(matrix_of(bundle, rows))))
    return float((outcomes != Outcome.APPROVE).mean())


def _promote(shop: Workshop, version: VersionState, found: str) -> bool:
    """Promote a version whose verdict stands; False when somebody was first."""
    state = shop.state()
    expected = state.champion(version.model)
    reason = f"{version.verdicts[-1].report['reason']}; {found}"
    try:
        promote(
            shop.registry.store,
            version.model,
            version.version,
            expected=expected,
            actor=ACTOR,
            reason=reason,
            time_us=shop.clock.now_us(),
            probation_us=shop.settings.probation_us,
        )
    except (StaleHead, NotAllowedNow):
        return False
    _log.info("promoted", model=version.model, version=version.version, instead_of=expected, why=found)
    for other in shop.state().pending(version.model):
        if other.cut_time_us <= version.cut_time_us:
            _drop(shop, other, f"superseded by {version.version}")
    return True


def _drop(shop: Workshop, version: VersionState, why: str) -> None:
    shop.record("VersionDropped", {"version": version.version, "why": why}, why)
    _log.info("dropped", model=version.model, version=version.version, why=why)
