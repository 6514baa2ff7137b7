"""One retraining cycle: from a cut of the log to verdicts, and at most one promotion a model.

    copy the log to the archive, up to the cut
      → the guard judges each model's data; what it freezes goes no further
      → training set per model → recipes on Ray → bundles, registered in the ledger
      → every pending challenger, new or waiting, before the gate
      → the best that may: promoted, compare-and-swap on champion and verdict; the rest superseded
        (gate.mode = "approval": whatever may, waits for a person; "shadow": for its time in shadow)

Each step is an entry of the ledger, so a cycle that dies half-way leaves only
challengers that nobody promoted, and is run again. Told to stop, it is left
before the next step that takes long.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from fraud.archive.archive import Archive
from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.clock import Clock
from fraud.errors import told
from fraud.eventlog.log import EventLog
from fraud.faults import raise_point
from fraud.features.spec import FeatureSpec
from fraud.guard.delays import LabelDelay
from fraud.labels.exclusions import View
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.registry.cycles import REQUEST
from fraud.registry.ledger import RegistryState
from fraud.registry.loop import results_of
from fraud.registry.sentinels import sentinel_ids
from fraud.registry.version import VersionState
from fraud.registry.view import Registry
from fraud.retrainer.casework import Casework, Rival
from fraud.retrainer.guarding import judge_data, publish, with_maturity
from fraud.retrainer.judging import ACTOR, CycleVerdict, judge_challengers
from fraud.settings import Settings
from fraud.stopping import Stopped, Stopping
from fraud.training.challengers import Challenger, FailedRecipe, train_challengers
from fraud.training.dataset import training_rows
from fraud.training.history import Cut, History
from fraud.training.pool import TrainingPool
from fraud.training.variants import with_variants

_log = structlog.get_logger("fraud.retrainer.cycle")


@dataclass(frozen=True, slots=True)
class Order:
    """What a cycle is asked to do. `request_seq` is the ledger entry that asked, None for a trigger.

    `reason` says why, for people; `trigger` is one of `fraud.registry.cycles.TRIGGERS`.
    """

    models: tuple[str, ...]
    cut: Cut
    reason: str
    request_seq: int | None = None
    trigger: str = REQUEST


@dataclass(slots=True)
class Workshop:
    """What cycles work with, opened once by the retraining process."""

    settings: Settings
    spec: FeatureSpec
    log: EventLog
    archive: Archive
    bundles: BundleStore
    registry: Registry
    clock: Clock
    metrics: RetrainerMetrics
    stopping: Stopping = field(default_factory=Stopping)

    def state(self) -> RegistryState:
        """Return the ledger folded up to now."""
        return self.registry.refresh()

    def now_us(self) -> int:
        """Return the time: the clock's, or the last arrival's while the clock is behind it."""
        return max(self.clock.now_us(), self.log.last_arrival_us())

    def cut(self) -> Cut:
        """Return the cut of now, at what the archive holds."""
        return Cut(self.archive.position(), self.now_us())

    def history(self, cut: Cut, view: View, without: AbstractSet[str] = frozenset()) -> History:
        """Return the archive's past at `cut`, seen through `view`, but for `without`."""
        return History(self.archive, self.spec, self.settings, cut, view, without)

    def each_model(self, look: Callable[[str], None]) -> None:
        """Look at every model, whatever comes of the others.

        Raises:
            ExceptionGroup: what failed.
        """
        failed = []
        for model in self.settings.models:
            try:
                look(model)
            except Exception as error:  # noqa: BLE001 — raised once all have had their turn
                failed.append(error)
        if failed:
            raise ExceptionGroup("some models could not be looked at", failed)

    def rival(self, version: VersionState) -> Rival:
        """Return a version with its bundle; raises as `Rival.readable`."""
        return Rival.readable(version, self.bundles, self.spec)

    def copy(self, upto: int | None = None) -> int:
        """Copy new events to the archive; return the position archived."""
        started = time.perf_counter()
        position = self.archive.copy_from(self.log, upto=upto)
        self.metrics.archive_seconds.observe(time.perf_counter() - started)
        self.show_archived(position)
        return position

    def show_archived(self, position: int) -> None:
        """Publish up to where the archive goes."""
        self.metrics.archive_position.set(position)
        self.metrics.archive_lag.set(max(0, self.log.head() - position))

    def record(self, kind: str, body: dict[str, Any], reason: str) -> int:
        """Append to the ledger; return the entry's number."""
        entry = self.registry.store.append(
            kind, body, actor=ACTOR, reason=reason, time_us=self.clock.now_us()
        )
        return entry.seq


def run_cycle(shop: Workshop, order: Order, open_pool: Callable[[], TrainingPool]) -> list[CycleVerdict]:
    """Run one cycle and return its verdicts; whatever happens stands in the ledger.

    Raises:
        FraudError: the cycle failed; it is recorded as failed before this is raised.
        Stopped: the process was told to stop; the cycle counts as never started.
    """
    started = time.perf_counter()
    shop.record(
        "CycleStarted",
        {
            "request_seq": order.request_seq,
            "models": list(order.models),
            "cut_position": order.cut.position,
            "trigger": order.trigger,
        },
        order.reason,
    )
    shop.metrics.running.set(1)
    try:
        return _recorded(shop, order, open_pool, started)
    finally:
        shop.metrics.running.set(0)


def _recorded(
    shop: Workshop, order: Order, open_pool: Callable[[], TrainingPool], started: float
) -> list[CycleVerdict]:
    """Run a cycle that has started, and record its end."""
    try:
        shop.copy(order.cut.position)  # before there is an archive nobody can hold its files in place
        # Nobody may delete files that a lazy scan of the cycle has yet to read.
        with shop.archive.reading():
            raise_point("cycle.started", lambda: shop.archive.labels().collect().rows())
            verdicts, trained = _run(shop, order, open_pool)
    except Stopped as stopped:
        _record_failed(shop, order, str(stopped), stopped=True)
        raise
    except Exception as error:
        _record_failed(shop, order, told(error))
        for model in order.models:
            shop.metrics.retrained(model, "failed", time.perf_counter() - started)
        raise
    seconds = time.perf_counter() - started
    body = {
        "request_seq": order.request_seq,
        "verdicts": [verdict.to_dict() for verdict in verdicts],
        "trained": trained,
        "seconds": round(seconds, 3),
    }
    shop.record("CycleFinished", body, order.reason)
    for model, result in results_of(order.models, body).items():
        shop.metrics.retrained(model, result, seconds)
    return verdicts


def _record_failed(shop: Workshop, order: Order, error: str, **why: bool) -> None:
    shop.record("CycleFailed", {"request_seq": order.request_seq, "error": error, **why}, order.reason)


def _run(
    shop: Workshop, order: Order, open_pool: Callable[[], TrainingPool]
) -> tuple[list[CycleVerdict], list[str]]:
    """Return what is said of each version and model, and the models of which a version was made."""
    state = shop.state()
    sentinels = tuple(state.sentinels.values())
    shop.copy(max(order.cut.position, *(max(each.positions) for each in sentinels), 0))
    apart = sentinel_ids(sentinels)
    history = shop.history(order.cut, state.view(), apart)
    histories, delays, verdicts = _guard(shop, order, history, open_pool)
    if not histories:
        return verdicts, []
    settings = with_maturity(shop.settings, delays.values())
    histories = {model: replace(seen, settings=settings) for model, seen in histories.items()}
    champions = {model: champion_of(shop, state, model) for model in histories}
    # What continues a tainted champion, or learns from attacks on it, would be tainted by it.
    teachers = {
        model: rival.bundle if rival and not rival.tainted and not rival.unreadable else None
        for model, rival in champions.items()
    }
    fitted = _train(shop, histories, teachers, settings, open_pool)
    verdicts += [_failed(failed) for failed in fitted if isinstance(failed, FailedRecipe)]
    made = [new for new in fitted if isinstance(new, Challenger)]
    for model in histories:
        _register(shop, model, [new for new in made if new.model == model])
    for model, seen in histories.items():
        attacks = list(state.attacks.values())
        casework = Casework(seen, shop.bundles, sentinels, attacks, delays[model])
        verdicts.extend(judge_challengers(shop, model, champions[model], casework, seen))
    return verdicts, sorted({new.model for new in made})


def _guard(
    shop: Workshop, order: Order, history: History, open_pool: Callable[[], TrainingPool]
) -> tuple[dict[str, History], dict[str, Sequence[LabelDelay]], list[CycleVerdict]]:
    """Have the guard judge each model's data; return what may be trained on, label delays, who is frozen.

    A frozen model is not brought before the gate either: it would judge on the same data.
    """
    request = None if order.request_seq is None else shop.state().request(order.request_seq)
    overrides = () if request is None else request.guard_overrides
    histories: dict[str, History] = {}
    delays: dict[str, Sequence[LabelDelay]] = {}
    frozen = []
    for model in order.models:
        shop.stopping.check()
        former = shop.state().guard_reports.get(model)
        judgement = judge_data(
            history, model, former, overrides, lambda function, *args: open_pool().run(function, *args)
        )
        body = {"request_seq": order.request_seq, "cut_position": order.cut.position, **judgement.to_dict()}
        who = f", overridden by {request.actor}: {request.reason}" if request and overrides else ""
        why = "; ".join(judgement.ruling.reasons) or f"{len(judgement.ruling.findings)} findings{who}"
        shop.record("GuardReported", {**body, "cut_time_us": order.cut.time_us}, why)
        publish(judgement, shop.metrics)
        delays[model] = judgement.delays
        if judgement.ruling.frozen:
            frozen.append(CycleVerdict(model, "", "FROZEN", "", why))
        elif judgement.dropped:
            histories[model] = replace(history, view=history.view.with_(judgement.exclusions))
        else:
            histories[model] = history
    return histories, delays, frozen


def _train(
    shop: Workshop,
    histories: Mapping[str, History],
    teachers: Mapping[str, Bundle | None],
    settings: Settings,
    open_pool: Callable[[], TrainingPool],
) -> list[Challenger | FailedRecipe]:
    """Fit every recipe of every model; the training sets are let go before anything is judged."""
    sets = {}
    for model, seen in histories.items():
        shop.stopping.check()
        sets[model] = with_variants(training_rows(seen, model), seen, teachers[model])
    return train_challengers(open_pool(), sets, shop.spec, settings, teachers)


def champion_of(shop: Workshop, state: RegistryState, model: str) -> Rival | None:
    """Return the champion that the ledger intends, with its bundle, or None."""
    champion = state.champion(model)
    if not champion:
        return None
    version = state.version(champion)
    rival = Rival.read(version, shop.bundles, shop.spec, tainted=bool(state.tainted_by(champion)))
    if rival.unreadable:
        _log.warning("champion cannot be judged", model=model, version=champion, why=rival.unreadable)
    return rival


def _failed(failed: FailedRecipe) -> CycleVerdict:
    _log.warning("recipe gave no challenger", model=failed.model, recipe=failed.recipe, why=failed.reason)
    return CycleVerdict(failed.model, "", "NOT TRAINED", "", f"{failed.recipe}: {failed.reason}")


def _register(shop: Workshop, model: str, fitted: Sequence[Challenger]) -> None:
    """Store the bundles and enter them in the ledger as one attempt against the champion.

    A cycle that is run again after it died fits the same bytes; what is
    registered already, whatever became of it, is not entered twice.
    """
    state = shop.state()
    known = {version.digest for version in state.versions.values() if version.model == model}
    within = shop.settings.gate.attempts_within
    attempt = state.attempts(model, 0 if within is None else shop.clock.now_us() - within) + 1
    for challenger in fitted:
        state = shop.state()
        digest = shop.bundles.write(challenger.bundle)
        if digest in known:
            continue
        # Which files were read is no part of the bundle: the same rows make the same bytes from others, too.
        manifest = {**challenger.bundle.manifest, "archive": shop.archive.versions()}
        shop.record(
            "VersionRegistered",
            {
                "version": state.next_version(model),
                "model": model,
                "recipe": challenger.recipe,
                "digest": digest,
                "parent": state.version_of(manifest["parent"]),
                "attempt": attempt,
                "challengers": len(fitted),
                "cut_position": manifest["cut"]["position"],
                "cut_time_us": manifest["cut"]["time_us"],
                "manifest": manifest,
            },
            f"recipe {challenger.recipe}",
        )
