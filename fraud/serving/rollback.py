"""Puts a former champion back in service, and says beforehand what that would mean.

    order ─► which version (before T: what the event log says was applied then)
          ─► forecast: recent traffic by its thresholds, with all labels and with labels muted
          ─► one ledger entry ─► the follower applies it at once

What comes back is the bundle as a whole: booster, calibrator, thresholds, risk
scale, references. Label-fed state keeps every label known now, except what is
excluded or, from this entry on, muted.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from fraud.bundle.store import BundleStore
from fraud.clock import format_time
from fraud.errors import FraudError, InvalidInput, NotAllowedNow, NotFound
from fraud.eventlog.log import EventLog
from fraud.faults import pass_point
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import Exclusion, View
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.records import Applied, Outcome, Scored
from fraud.registry.exclusions import check_clean
from fraud.registry.ledger import RegistryState
from fraud.registry.second_person import Asked
from fraud.registry.store import roll_back
from fraud.registry.view import Registry
from fraud.serving.batcher import Batcher
from fraud.serving.champions import Champion
from fraud.serving.follower import ChampionLoader, LedgerFollower
from fraud.serving.logged_features import LoggedFeatures
from fraud.serving.scorer import Scorer
from fraud.serving.second_person import Permit, SecondPerson
from fraud.serving.servicers import check_model
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.rollback")
FORECAST_ROWS = 5_000
"""Newest events of the log that a forecast looks at."""
NOW, ALL_LABELS, MUTED = "now", "all labels", "labels muted"


@dataclass(frozen=True, slots=True)
class RollbackOrder:
    """What is asked for: the version before a moment (µs UTC), or a named one.

    Labels that arrived at or after `mute_since_us` are muted; 0: none are.
    """

    model: str
    before_us: int
    version: str
    mute_since_us: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a version's thresholds make of recent traffic, under one view of the labels."""

    view: str
    version: str
    rows: int
    alerts: int
    declines: int

    def share(self, count: int) -> float | None:
        """Return a count as a share of the rows, None without rows."""
        return count / self.rows if self.rows else None


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """What would serve, and what it would do."""

    model: str
    from_version: str
    to_version: str
    policy_version: str
    muted_labels: int
    forecasts: tuple[Forecast, ...]


@dataclass(frozen=True, slots=True)
class RollbackDone:
    """What was done: the ledger entry (it mutes too), whether it serves, and after how long.

    `waiting`: nothing was, but asked for, until a second person comes.
    """

    plan: RollbackPlan
    ledger_seq: int
    mute_seq: int
    applied: bool
    seconds: float
    waiting: Asked | None = None


class Rollbacks:
    """Carries out rollbacks of one service; on the event loop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        scorer: Scorer,
        batcher: Batcher,
        loader: ChampionLoader,
        bundles: BundleStore,
        follower: LedgerFollower,
        metrics: ScorerMetrics,
        second: SecondPerson,
    ) -> None:
        self._models = tuple(settings.models)
        self._logged = LoggedFeatures.of(FeatureSpec.of(settings), scorer.log)
        self._registry = registry
        self._scorer = scorer
        self._batcher = batcher
        self._loader = loader
        self._bundles = bundles
        self._follower = follower
        self._metrics = metrics
        self._second = second

    async def plan(self, order: RollbackOrder) -> RollbackPlan:
        """Return what the rollback would do; nothing is changed.

        Raises:
            InvalidInput: model, version or moment are not given as they should be.
            NotFound: nothing served then, or there is no such version.
            NotAllowedNow: the version serves already, is tainted, or its bundle is gone.
        """
        present, target, muted = await asyncio.to_thread(self._choose, order)
        champion = await asyncio.to_thread(self._loadable, present)
        both = [it for it in (champion, target) if it is not None]
        newest = await asyncio.to_thread(recent, self._scorer.log, order.model, self._logged.since)
        rows = self._logged.readable(newest, both)
        logged = self._logged.matrix(rows)
        asked = [] if champion is None else [(NOW, champion, rows, logged)]
        asked.append((ALL_LABELS, target, rows, logged))
        if order.mute_since_us and rows:
            view = self._view().with_([self._muted(order)])
            features = await self._batcher.run(lambda: self._scorer.peek_under(view, rows))
            asked.append((MUTED, target, rows, features))
        forecasts = [await asyncio.to_thread(forecast, *each) for each in asked]
        return RollbackPlan(
            order.model,
            present,
            target.version,
            target.policy_version,
            muted,
            tuple(forecasts),
        )

    async def carry_out(self, order: RollbackOrder) -> RollbackDone:
        """Roll back: on return the version serves, or the log says why it was refused, or it was asked for.

        Raises:
            StaleHead: the champion changed in between; nothing was done.
            InvalidInput, NotFound, NotAllowedNow: as `plan`.
        """
        started = time.perf_counter()
        present, target, muted = await asyncio.to_thread(self._choose, order)
        plan = RollbackPlan(order.model, present, target.version, target.policy_version, muted, ())
        permit = await asyncio.to_thread(self._permit, order, plan)
        if permit.waiting is not None:
            return RollbackDone(plan, 0, 0, applied=False, seconds=0.0, waiting=permit.waiting)
        seq = await asyncio.to_thread(self._record, order, plan, permit)
        pass_point("rollback.recorded")
        self._metrics.rolled_back(order.model)
        await self._follower.poll(self._batcher)
        applied = self._follower.serving(order.model) == target.version
        seconds = time.perf_counter() - started
        return RollbackDone(plan, seq, seq if order.mute_since_us else 0, applied, seconds)

    def _loadable(self, version: str) -> Champion | None:
        """Load the champion of now; None without one, and where it cannot be: then it decides nothing."""
        try:
            return self._loader.load(version) if version else None
        except FraudError as error:
            _log.warning("the champion cannot be loaded", version=version, why=error)
            return None

    def _choose(self, order: RollbackOrder) -> tuple[str, Champion, int]:
        """Return the champion's name, what would follow it, and how many labels would be muted."""
        check_model(order.model, self._models)
        if bool(order.version) == bool(order.before_us):
            raise InvalidInput(
                "before, version", "must be given one or the other", "say a moment, or name a version"
            )
        state = self._registry.refresh()
        version = order.version or served_before(self._scorer.log, order.model, order.before_us)
        self._check(state, order.model, version)
        present = state.champion(order.model)
        muted = 0
        if order.mute_since_us:
            data = self._muted(order)
            batches = self._scorer.log.batches(order.mute_since_us, "", 0, 2**31)
            muted = sum(
                it.labels
                for it in batches
                if data.hides_label(it.batch_id, it.source, it.submitter, it.arrival_time_us)
            )
        return present, self._loader.load(version), muted

    def _check(self, state: RegistryState, model: str, version: str) -> None:
        known = state.version(version)
        if known.model != model:
            raise InvalidInput("version", f"{version} is of model {known.model!r}", f"name one of {model!r}")
        if known.status == "champion":
            raise NotAllowedNow(f"{version} is the champion of {model!r} already")
        if known.status != "former champion":
            raise NotAllowedNow(
                f"{version} is {known.status} and never was champion; a rollback goes to a former "
                "champion, see 'fraud history'"
            )
        check_clean(state, version)
        try:
            self._bundles.size(known.digest)
        except NotFound:
            raise NotAllowedNow(
                f"{version}: its bundle is no longer kept (retention.bundles, retention.rollback_within); "
                "roll back to a later version, or restore the bundle from a copy"
            ) from None

    def _permit(self, order: RollbackOrder, plan: RollbackPlan) -> Permit:
        what = {
            "model": order.model,
            "version": plan.to_version,
            "expected": plan.from_version,
            "mute_labels_since_us": order.mute_since_us,
        }
        # Who mutes labels excludes them.
        as_for = ("ExcludeData",) if order.mute_since_us else ()
        return self._second.permit("Rollback", what, actor=order.actor, reason=order.reason, as_for=as_for)

    def _record(self, order: RollbackOrder, plan: RollbackPlan, permit: Permit) -> int:
        mute = None
        if order.mute_since_us:
            mute = {
                "exclusion": self._muted(order).to_dict(),
                "first_position": self._scorer.log.head() + 1,
                "labels": plan.muted_labels,
                "transactions": 0,
                "muted": True,
                "retrain": False,
            }
        entry = roll_back(
            self._registry.store,
            order.model,
            plan.to_version,
            plan.from_version,
            actor=order.actor,
            reason=order.reason,
            time_us=self._scorer.now_us(),
            before_us=order.before_us or None,
            mute=mute,
            **permit.body,
        )
        return entry.seq

    def _muted(self, order: RollbackOrder) -> Exclusion:
        now_us = self._scorer.now_us() + 1
        if order.mute_since_us >= now_us:
            raise InvalidInput("mute_labels_since", "lies in the future", "give a moment that has passed")
        return Exclusion("labels", from_us=order.mute_since_us, to_us=now_us)

    def _view(self) -> View:
        state = self._scorer.state
        return state.fold.view if state is not None else View()


def served_before(log: EventLog, model: str, before_us: int) -> str:
    """Return the version that served just before a moment, by what the scorer applied.

    Raises:
        NotFound: none did.
    """
    found, first_us = "", 0
    for entry in log.applied():
        event = entry.event
        if not isinstance(event, Applied) or event.model != model or event.refused or not event.version:
            continue
        first_us = first_us or entry.arrival_time_us
        if entry.arrival_time_us < before_us:
            found = event.version
    if not found:
        since = f"the first one began to serve at {format_time(first_us)}" if first_us else "none ever did"
        raise NotFound(f"no version of {model!r} served before {format_time(before_us)}: {since}")
    return found


def recent(log: EventLog, model: str, since: int) -> list[Scored]:
    """Return the newest decisions of a model among the last `FORECAST_ROWS` events, from a position on."""
    entries = log.read(max(0, log.head() - FORECAST_ROWS, since - 1), FORECAST_ROWS)
    return [it.event for it in entries if isinstance(it.event, Scored) and it.event.model == model]


def forecast(
    view: str, champion: Champion, rows: Sequence[Scored], features: NDArray[np.float32]
) -> Forecast:
    """Count the outcomes a champion gives rows with these service features, float32[n, F]."""
    if not rows:
        return Forecast(view, champion.version, 0, 0, 0)
    bundle = champion.bundle
    matrix = champion.matrix(features, champion.words(rows))
    outcomes = bundle.thresholds.outcomes(bundle.scores_of(matrix))
    alerts = int(np.count_nonzero(outcomes != Outcome.APPROVE))
    return Forecast(
        view, champion.version, len(rows), alerts, int(np.count_nonzero(outcomes == Outcome.DECLINE))
    )
