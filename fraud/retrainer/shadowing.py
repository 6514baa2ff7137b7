"""Promotes what has proved itself in shadow (`gate.mode = "shadow"`).

the gate says PROMOTE → the scorer puts the version in shadow (`fraud.registry.shadows`)
→ its logged scores and outcomes are read from the archive → wait, promoted, or dropped
"""

import numpy as np
import polars as pl

from fraud.archive.columns import shadow_of
from fraud.bundle.bundle import Bundle
from fraud.errors import NotAllowedNow, StaleHead
from fraud.gate.probation import Pairs
from fraud.gate.shadow import ShadowRecord, judge_shadow
from fraud.records import Outcome
from fraud.registry.approval import awaiting_approval
from fraud.registry.version import VersionState
from fraud.retrainer.casework import matrix_of, traffic_before
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.judging import drop, promote_version
from fraud.training.history import Cut, History

COMPARED_ROWS = 2_000
"""Newest rows whose logged scores are computed again; only theirs are read with features."""
_COUNTED = ("position", "arrival_time_us", "score", "outcome", "explored", "rule", "shadow_outcome")


def settle_shadowed(shop: Workshop) -> None:
    """Promote or drop what awaits its time in shadow; nothing where another mode is set."""
    if shop.settings.gate.mode != "shadow":
        return
    for model in shop.settings.models:
        for version in awaiting_approval(shop.state(), model):
            record = shadow_record(shop, version)
            found = judge_shadow(record, shop.settings.gate)
            if found.answer == "failed":
                drop(shop, version, f"failed in shadow: {found.reason}")
            elif found.answer == "ready" and _promote(shop, version, found.reason):
                break


def shadow_record(shop: Workshop, version: VersionState) -> ShadowRecord:
    """Read from the archive what a version did in shadow."""
    cut = Cut(shop.archive.position(), shop.clock.now_us())
    history = History(shop.archive, shop.spec, shop.settings, cut, shop.state().view())
    scored = in_shadow(history, version)
    rows = scored.select(*_COUNTED).collect()
    newest = rows["position"].tail(COMPARED_ROWS)
    bundle = shop.bundles.read(version.digest)
    return ShadowRecord(
        rows=len(rows),
        since_us=int(rows["arrival_time_us"].to_numpy().min()) if len(rows) else 0,
        now_us=cut.time_us,
        compared=len(newest),
        differing=_differing(scored.filter(pl.col("position") >= newest[0]), bundle) if len(newest) else 0,
        pairs=_pairs(rows),
        before=_foreseen(history, version, bundle),
    )


def _differing(scored: pl.LazyFrame, bundle: Bundle) -> int:
    """Count the rows whose score in shadow is not what the bundle gives on the logged features."""
    rows = scored.collect()
    again = bundle.scores(bundle.margins(matrix_of(bundle, rows)))
    return int(np.sum(rows["shadow_score"].to_numpy() != again))


def in_shadow(history: History, version: VersionState) -> pl.LazyFrame:
    """Return the rows a version scored in shadow, by position, as logged.

    What it made of them stands in `shadow_score` and `shadow_outcome`.
    """
    return (
        history.transactions(version.model, with_features=False)
        .filter((pl.col("position") > version.cut_position) & pl.col("shadows").is_not_null())
        .with_columns(shadow_of(version.version).alias("own"))
        .filter(pl.col("own").is_not_null())
        .with_columns(
            pl.col("own").struct.field("score").alias("shadow_score"),
            pl.col("own").struct.field("outcome").alias("shadow_outcome"),
        )
        .sort("position")
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
    rows = traffic_before(history, version).collect()
    if rows.is_empty():
        return None
    outcomes = bundle.thresholds.outcomes(bundle.scores(bundle.margins(matrix_of(bundle, rows))))
    return float((outcomes != Outcome.APPROVE).mean())


def _promote(shop: Workshop, version: VersionState, found: str) -> bool:
    """Promote a version; False when somebody was first, or its verdict does not stand any more."""
    expected = shop.state().champion(version.model)
    verdict = version.verdicts[-1]
    try:
        promote_version(shop, version, expected, f"{verdict.report['reason']}; {found}", verdict.seq)
    except (StaleHead, NotAllowedNow):
        return False
    for other in shop.state().pending(version.model):
        if other.cut_time_us <= version.cut_time_us:
            drop(shop, other, f"superseded by {version.version}")
    return True
