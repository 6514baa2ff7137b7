"""Judges probations by frauds: would the former champion have caught more?

payments since the promotion, while both scored them → matured → scored by both from the logged features
  (through what the guard dropped; while it has frozen the model nothing is decided)
→ the gate's evidence, the former champion standing as the challenger → superiority → RolledBack
nothing shown once their last day has matured → ProbationEnded

One that cannot be judged is logged and tried again at the next turn; it holds up no other.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
import structlog

from fraud.errors import ConfigError, NotAllowedNow, StaleHead
from fraud.evaluation.days import day_start_us, event_days
from fraud.gate.eprocess import e_of
from fraud.gate.evidence import gather
from fraud.gate.probation import Demotion, demotion
from fraud.registry.probation import ACTOR, Probation, probation_of
from fraud.registry.sentinels import sentinel_ids
from fraud.registry.store import roll_back
from fraud.retrainer.casework import Casework
from fraud.retrainer.cycle import Workshop

_log = structlog.get_logger("fraud.retrainer.probation")


class ProbationWatch:
    """Judges each probation once per day that has matured. One owner."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._judged: dict[str, tuple[int, int]] = {}
        self._unreadable: set[int] = set()

    def turn(self) -> None:
        """Judge what has new evidence; roll back, or end what has shown nothing."""
        shop = self._shop
        for model in shop.settings.models:
            probation = probation_of(shop.state(), model)
            if probation is None or self._judged.get(model, (0, 0))[0] != probation.seq:
                shop.metrics.probation(model, None)  # what was shown was of another one
            if probation is None or probation.seq in self._unreadable:
                continue
            try:
                self._judge(probation)
            except ConfigError as error:
                # For as long as this process runs; the next champion ends it.
                self._unreadable.add(probation.seq)
                _log.warning("probation cannot be judged", model=model, error=error)
            except Exception:  # noqa: BLE001 — other models and what waits in shadow must not stop for it
                _log.exception("probation not judged", model=model, version=probation.version)

    def _judge(self, probation: Probation) -> None:
        shop, model = self._shop, probation.model
        matured_us = shop.clock.now_us() - shop.settings.labels.maturity
        report = shop.state().guard_reports.get(model)
        # What the guard keeps from the gate proves nothing here either.
        if matured_us <= probation.since_us or (report is not None and report.frozen):
            return
        zone = shop.settings.service.zone
        today, last = event_days(np.array([matured_us, probation.until_us - 1]), zone).tolist()
        key = probation.seq, today
        over = matured_us >= day_start_us(last + 1, zone)
        if over or self._judged.get(model) != key:
            self._conclude(probation, judge_probation(shop, probation), over=over)
            self._judged[model] = key

    def _conclude(self, probation: Probation, found: Demotion, *, over: bool) -> None:
        shop = self._shop
        shop.metrics.probation(probation.model, e_of(found.log_e))
        evidence = asdict(found)
        signed: dict[str, Any] = {"actor": ACTOR, "time_us": shop.clock.now_us()}
        model, version = probation.model, probation.version
        try:
            if found.reached:
                reason = f"on probation: {found.reason}"
                roll_back(
                    shop.registry.store,
                    model,
                    probation.former,
                    version,
                    **signed,
                    reason=reason,
                    probation=evidence,
                )
                _log.warning("rolled back", model=model, from_version=version, why=reason)
            elif over:
                reason = f"passed: {found.reason}"
                body = {"model": model, "version": version, "evidence": evidence}
                shop.registry.store.append("ProbationEnded", body, **signed, reason=reason)
                _log.info("probation passed", model=model, version=version, why=reason)
        except (StaleHead, NotAllowedNow):
            return  # somebody was first; the next turn finds what is true now


def judge_probation(shop: Workshop, probation: Probation) -> Demotion:
    """Return what the frauds of a probation say, as of what the archive holds now.

    Raises:
        ConfigError: one of the two reads features that are gone or mean something else now.
    """
    state = shop.state()
    report = state.guard_reports.get(probation.model)
    dropped = () if report is None else tuple(exclusion for _, exclusion in report.dropped)
    view = state.view().with_(dropped)
    history = shop.history(shop.cut(), view, sentinel_ids(state.sentinels.values()))
    former, champion = (shop.rival(state.version(it)) for it in (probation.former, probation.version))
    scored, rules = Casework(history, shop.bundles).scored(former, champion, since_us=probation.since_us)
    inside = scored.filter(pl.col("event_time_us") < probation.until_us)
    return demotion(gather(inside, rules).votes, shop.settings.gate.e_value)
