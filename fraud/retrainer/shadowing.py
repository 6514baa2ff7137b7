"""Promotes what has proved itself in shadow (`gate.mode = "shadow"`).

the gate says PROMOTE → the scorer puts the version in shadow (`fraud.registry.shadows`)
→ its logged scores and outcomes are read from the archive → wait, promoted, or dropped

A turn reads what came since the one before. What was read stands while the view does: another view of
the data begins anew. One that cannot be judged is logged and tried again at the next turn; one whose
bundle, or a feature of it, is gone is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import structlog

from fraud.archive.columns import shadow_of
from fraud.bundle.bundle import Bundle
from fraud.errors import NotAllowedNow, StaleHead
from fraud.gate.evidence import ENTITY_PREFIX
from fraud.gate.probation import Differing, Pairs
from fraud.gate.shadow import ShadowRecord, judge_shadow
from fraud.records import MISSING_SURROGATE, Outcome
from fraud.registry.version import VersionState
from fraud.retrainer.casework import Rival, traffic_before
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.judging import drop, promote_version, waiting_of
from fraud.retrainer.matrices import judged_by, matrix_of, read_of, unseen_scores
from fraud.training.history import History

_log = structlog.get_logger("fraud.retrainer.shadowing")
COMPARED_ROWS = 2_000
"""Newest rows whose logged scores are computed again; only theirs are read with features."""
_COUNTED = (
    *("position", "event_time_us", "arrival_time_us", "score", "outcome", "explored", "rule"),
    "shadow_outcome",
)
_COMPARED = {"position": pl.Int64, "differs": pl.Boolean}


@dataclass(slots=True)
class _Seen:
    """What was read of one version under one view. Counted up by one owner.

    `entities` are columns, the card first. `position` is that of the newest payment counted, `newest` the
    last `COMPARED_ROWS` of them.
    """

    view: str
    bundle: Bundle
    entities: tuple[str, ...]
    before: float | None
    rows: int = 0
    since_us: int = 0
    position: int = 0
    pairs: Pairs = field(default_factory=Pairs)
    differing: Differing = field(default_factory=Differing)
    newest: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_COMPARED))

    def count(self, scored: pl.LazyFrame) -> None:
        """Take in rows of `in_shadow` that came since."""
        scored = scored.filter(pl.col("position") > self.position)
        rows = scored.select(*_COUNTED, *self.entities).collect()
        if rows.is_empty():
            return
        first = rows["position"].tail(COMPARED_ROWS)[0]
        self.newest = pl.concat(
            [self.newest, _compared(scored.filter(pl.col("position") >= first), self.bundle)]
        ).tail(COMPARED_ROWS)
        if not self.rows:
            self.since_us = int(rows["arrival_time_us"].to_numpy().min())
        self.rows += len(rows)
        self.position = rows["position"][-1]
        count_pairs(self.pairs, rows, self.entities, self.differing)


def count_pairs(pairs: Pairs, rows: pl.DataFrame, entities: Sequence[str], differing: Differing) -> None:
    """Count alerts on payments that the champion decided, the version in shadow standing first.

    Where they differ a card counts once a day, as on probation; `entities` are columns, the card first.
    """
    decided = rows.filter(pl.col("score").is_not_null() & pl.col("rule").is_null())
    theirs = ((decided["outcome"] != int(Outcome.APPROVE)) | decided["explored"]).to_numpy()
    mine = (decided["shadow_outcome"] != int(Outcome.APPROVE)).to_numpy()
    counts = mine == theirs
    for row in np.flatnonzero(~counts).tolist():
        given = (decided[name][row] for name in entities)
        present = (None if it == MISSING_SURROGATE else it for it in given)
        counts[row] = differing.is_first(int(decided["event_time_us"][row]), present)
    pairs.both += int(np.sum(mine & theirs))
    pairs.neither += int(np.sum(~mine & ~theirs))
    pairs.champion_only += int(np.sum(mine & ~theirs & counts))
    pairs.former_only += int(np.sum(~mine & theirs & counts))


class ShadowWatch:
    """Settles what awaits its time in shadow. One owner."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._seen: dict[str, _Seen] = {}

    def turn(self) -> None:
        """Promote or drop what has waited; nothing where another mode is set."""
        shop = self._shop
        if shop.settings.gate.mode != "shadow":
            return
        waiting = {model: waiting_of(shop, model) for model in shop.settings.models}
        names = {version.version for versions in waiting.values() for version in versions}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        for model, versions in waiting.items():
            for version in versions:
                try:
                    if self._settle(version):
                        break
                except Exception:  # noqa: BLE001 — other versions and models must not stop for it
                    _log.exception("not judged in shadow", model=model, version=version.version)

    def _settle(self, version: VersionState) -> bool:
        """Promote or drop a version, or let it wait; tell whether it was promoted."""
        shop = self._shop
        if version.version not in self._seen:
            rival = Rival.read(version, shop.bundles, shop.spec)
            if rival.unreadable:
                drop(shop, version, rival.unreadable)
                return False
        found = judge_shadow(self.record(version), shop.settings.gate)
        if found.answer == "failed":
            drop(shop, version, f"failed in shadow: {found.reason}")
        return found.answer == "ready" and _promote(shop, version, found.reason)

    def record(self, version: VersionState) -> ShadowRecord:
        """Return what a version did in shadow, read from the archive as far as that is new."""
        shop = self._shop
        history = shop.history(shop.cut(), shop.state().view())
        view = history.view.to_text()
        seen = self._seen.get(version.version)
        if seen is None or seen.view != view:
            bundle = shop.rival(version).bundle
            entities = tuple(f"{ENTITY_PREFIX}{name}" for name in shop.settings.schema_.entity_names)
            before = _foreseen(history, version, bundle)
            seen = self._seen[version.version] = _Seen(view, bundle, entities, before)
        seen.count(in_shadow(history, version))
        return ShadowRecord(
            rows=seen.rows,
            since_us=seen.since_us,
            now_us=history.cut.time_us,
            compared=len(seen.newest),
            differing=int(seen.newest["differs"].sum()),
            pairs=replace(seen.pairs),
            before=seen.before,
        )


def _compared(scored: pl.LazyFrame, bundle: Bundle) -> pl.DataFrame:
    """Tell of rows whether their score in shadow is not what the bundle gives on the logged features."""
    rows = scored.select("position", "shadow_score", *read_of(bundle)).collect()
    again = bundle.scores_of(matrix_of(bundle, rows))
    return rows.select("position", differs=pl.Series(rows["shadow_score"].to_numpy() != again))


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


def _foreseen(history: History, version: VersionState, bundle: Bundle) -> float | None:
    """Return the share of alerts the version has on the week before its cut; None without payments."""
    rows = traffic_before(history, version).select(*read_of(bundle), *judged_by(bundle)).collect()
    if rows.is_empty():
        return None
    outcomes = bundle.thresholds.outcomes(unseen_scores(bundle, rows))
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
