"""The retraining process: once, or watching the ledger and the clock.

watch: copy the log to the archive every so often, its small files merged once a day
a request on the ledger, or a trigger that is due → one cycle
a request whose cycles have died `DEATHS_MAX` times → given up, recorded as failed
told to stop in a cycle → it is left between two steps, and counts as one that was never started
after each copy: monitoring, probations judged, what waits in shadow promoted
after one that failed: monitoring as far as it goes; what decides waits for the next copy
told to stop → close what is open, kill Ray, end without the interpreter's own end
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn, Self

import structlog

from fraud.bundle.store import BundleStore
from fraud.errors import ConfigError, FraudError, NotAllowedNow
from fraud.eventlog.connection import BeingMade
from fraud.eventlog.folder import clock_of, open_log
from fraud.eventlog.lock import lock_data_folder
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.guard.finding import check_names
from fraud.monitoring.endpoint import Guard, serve_metrics
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.registry.cycles import deaths_of
from fraud.registry.store import LedgerStore
from fraud.registry.version import RequestState
from fraud.registry.view import Registry
from fraud.retrainer.compacting import CompactionWatch
from fraud.retrainer.cycle import Order, Workshop, run_cycle
from fraud.retrainer.freeing import given_back
from fraud.retrainer.guarding import Judgement, judge_data
from fraud.retrainer.judging import CycleVerdict
from fraud.retrainer.probation import ProbationWatch
from fraud.retrainer.shadowing import ShadowWatch
from fraud.retrainer.triggers import CyclesBefore, due
from fraud.retrainer.watching import Monitor
from fraud.settings import Settings
from fraud.stopping import Stopped, Stopping
from fraud.training.history import Cut
from fraud.training.pool import TrainingPool, end_at_once
from fraud.training.priority import give_way_as_session, hurry_as_session

_log = structlog.get_logger("fraud.retrainer.daemon")
_POLL_S = 0.1
FAILED_PAUSE_S, FAILED_PAUSE_MAX_S = 1.0, 10.0
"""Before what failed is tried again: so long at first, then twice as long each time, at most so long."""
DEATHS_MAX = 3
"""Cycles of one request that may die with the process before it is given up: it would kill the next, too."""


def open_workshop(settings: Settings, stopping: Stopping | None = None) -> Workshop:
    """Open what cycles work with; the log is opened for reading only.

    A cycle that runs when `stopping` is set is left; None: nothing ever sets it.

    Raises:
        NotAllowedNow: there is no log yet.
    """
    places = settings.places
    log = open_log(settings)
    return Workshop(
        settings=settings,
        spec=FeatureSpec.of(settings),
        log=log,
        archive=open_archive(settings),
        bundles=BundleStore(places.bundles),
        registry=Registry(LedgerStore.open(places.ledger)),
        clock=clock_of(settings, log),
        metrics=RetrainerMetrics(settings.data_dir, settings.monitoring.alarms),
        stopping=stopping or Stopping(),
    )


def run_once(
    settings: Settings,
    models: Sequence[str],
    reason: str,
    actor: str,
    guard_overrides: Sequence[str] = (),
) -> list[CycleVerdict]:
    """Retrain the named models (none: all) on what is known now, and return the verdicts.

    `guard_overrides` are checks of the guard whose findings it may pass over.

    Raises:
        InvalidInput: no check of the guard has such a name.
        ConfigError: a model is not configured.
        DataFolderLocked: a retrainer is watching; it takes requests by 'fraud retrain'.
        FraudError: the cycle failed.
    """
    for model in models:
        if model not in settings.models:
            raise ConfigError(f"model {model!r} is not configured; there are: {', '.join(settings.models)}")
    check_names(guard_overrides)
    with lock_data_folder(settings.data_dir, "retrainer"), _Pool(settings) as pool:
        shop = open_workshop(settings)
        cut = Cut(shop.log.head(), shop.now_us())
        body: dict[str, Any] = {
            "model": ",".join(models),
            "cut_position": cut.position,
            "cut_time_us": cut.time_us,
            "trigger": "by hand",
        }
        if guard_overrides:
            body["guard_overrides"] = list(guard_overrides)
        entry = shop.registry.store.append(
            "RetrainRequested", body, actor=actor, reason=reason, time_us=shop.clock.now_us()
        )
        chosen = tuple(models) or tuple(settings.models)
        order = Order(chosen, cut, "by hand", entry.seq)
        return run_cycle(shop, order, pool.open)


def judge_now(settings: Settings, models: Sequence[str]) -> list[Judgement]:
    """Have the guard judge what is known now, as before a cycle; nothing is recorded.

    Raises:
        NotAllowedNow: there is no log yet.
    """
    shop = open_workshop(settings)
    shop.copy()
    state = shop.state()
    history = shop.history(shop.cut(), state.view())
    with shop.archive.reading():
        return [judge_data(history, model, state.guard_reports.get(model)) for model in models]


def watch(settings: Settings) -> NoReturn:
    """Retrain on requests and triggers until SIGTERM or SIGINT, then end this process with status 0.

    Raises:
        FraudError: it cannot begin.
    """
    stopping = Stopping.on_signals()
    if await_log(settings, stopping):
        with lock_data_folder(settings.data_dir, "retrainer"):
            give_way_as_session(settings.training.niceness)
            if stopping.is_set():  # whoever stops this has given the share back, perhaps before it was left
                hurry_as_session(os.getpid())
            else:
                with suppress(Stopped):
                    Watch(settings, stopping).run()
    _leave()


def _leave() -> NoReturn:
    """End this process at once.

    Freeing all that the interpreter holds takes seconds, and on a machine under load many times that. Nothing
    is lost with it: the log was read only, the ledger is closed and synced at each entry, a table of the
    archive has a version or has it not, and what is said goes out line by line.
    """
    end_at_once()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def await_log(settings: Settings, stopping: Stopping) -> bool:
    """Wait until the scorer has made the log, saying what for; False when told to stop before.

    Raises:
        ConfigError, Damaged, OtherFormat, Unavailable: it is there, and waiting would not make it usable.
    """
    told = ""
    while not stopping.is_set():
        try:
            open_log(settings).close()
            return True
        except (NotAllowedNow, BeingMade) as error:
            if str(error) != told:
                told = str(error)
                _log.warning("waiting for the event log", why=error)
        stopping.wait(_POLL_S)
    return False


class _Pool:
    """Opens the Ray pool at the first cycle and keeps it for the next ones."""

    def __init__(self, settings: Settings, stopping: Stopping | None = None) -> None:
        self._settings = settings
        self._stopping = stopping
        self._pool: TrainingPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stopping is None or not self._stopping.is_set():
            self.close()  # else this process ends, and Ray with it

    def close(self) -> None:
        """Stop Ray if it runs; the next `open` starts it anew."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            pool.__exit__(None, None, None)
        except Exception:  # noqa: BLE001 — one that is broken may not end in order either
            _log.exception("Ray did not stop in order")

    def look_after(self) -> None:
        """Stop a Ray that has lost a task: it may be gone as a whole, and would lose every other one."""
        if self._pool is not None and self._pool.suspect:
            _log.warning("Ray has lost a task; it is started anew for the next cycle")
            self.close()

    def open(self) -> TrainingPool:
        """Return the pool, started if need be."""
        if self._pool is None:
            self._pool = TrainingPool(self._settings.training, self._stopping).__enter__()
        return self._pool


class Watch:
    """One watching retrainer."""

    def __init__(self, settings: Settings, stopping: Stopping) -> None:
        self._settings = settings
        self._stopping = stopping
        self._shop = open_workshop(settings, stopping)
        self._archived_at = 0.0
        self._probations = ProbationWatch(self._shop)
        self._shadows = ShadowWatch(self._shop)
        self._compaction = CompactionWatch(self._shop)
        self._monitor = Monitor(self._shop)

    def run(self) -> None:
        """Watch until stopping.

        Raises:
            Stopped: before it began.
        """
        monitoring = self._settings.monitoring
        self._stopping.check()
        self._monitor.observe()
        self._stopping.check()
        exporter = serve_metrics(
            self._shop.metrics.registry, monitoring.host, monitoring.retrainer_port, Guard(monitoring)
        )
        _log.info("watching", models=list(self._settings.models), metrics_port=exporter.port)
        try:
            with _Pool(self._settings, self._stopping) as pool:
                pause_s = _POLL_S
                while not self._stopping.wait(pause_s):
                    done = self._turn(pool)
                    pause_s = _POLL_S if done else min(max(FAILED_PAUSE_S, 2 * pause_s), FAILED_PAUSE_MAX_S)
        finally:
            exporter.close()
            self._shop.log.close()
            self._shop.registry.store.close()

    def _turn(self, pool: _Pool) -> bool:
        """Do what is due now; False when something failed: it is logged, and scoring never notices."""
        try:
            self._shop.clock.observe(self._shop.log.last_arrival_us())
            self._monitor.observe()
            self._archive()
            self._stopping.check()
            give_up(self._shop)
            order = next_order(self._shop, self._monitor)
            if order is not None:
                with given_back():
                    verdicts = run_cycle(self._shop, order, pool.open)
                _log.info("cycle finished", verdicts=[verdict.to_dict() for verdict in verdicts])
                self._archived_at = 0.0
        except Stopped as stopped:
            _log.info("left what was under way", why=stopped)
        except FraudError as error:
            _log.error("retraining failed", why=error, code=error.code)
            return False
        except Exception:  # noqa: BLE001 — the process must outlive a failed cycle
            _log.exception("retraining failed")
            if not self._stopping.is_set():
                pool.close()
            return False
        finally:
            if not self._stopping.is_set():
                pool.look_after()
        return True

    def _archive(self) -> None:
        every_s = self._settings.training.archive_every / 1e6
        if time.monotonic() - self._archived_at >= every_s:
            self._archived_at = time.monotonic()
            with given_back():
                self._copy()
                self._stopping.check()
                self._compaction.turn()
                self._stopping.check()
                self._watch()

    def _watch(self) -> None:
        with self._shop.archive.reading():
            for look in (self._monitor, self._probations, self._shadows):
                self._stopping.check()
                look.turn()

    def _copy(self) -> None:
        try:
            self._shop.copy()
        except Exception:
            self._monitor.copy_failed()
            raise


def give_up(shop: Workshop) -> None:
    """Record requests as failed whose cycles have died too often, so that others get their turn.

    Nothing may run meanwhile.
    """
    state = shop.state()
    for request in state.requests():
        if request.state != "RUNNING" or deaths_of(state.cycles, request.seq) < DEATHS_MAX:
            continue
        error = (
            f"the process died {DEATHS_MAX} times in a cycle of this request, so it is given up; look at "
            "the machine's memory, at training.cpus and training.cpus_per_task and at the windows of "
            "training.recipes, then ask again"
        )
        shop.record("CycleFailed", {"request_seq": request.seq, "error": error}, request.trigger)
        for model in models_of(shop, request):
            shop.metrics.retrained(model, "failed", 0.0)
        _log.error("request given up", request=request.seq, why=error)


def models_of(shop: Workshop, request: RequestState) -> tuple[str, ...]:
    """Return the models that a request is for."""
    return tuple(request.model.split(",")) if request.model else tuple(shop.settings.models)


def next_order(shop: Workshop, monitor: Monitor) -> Order | None:
    """Return what is to be done now: what was asked for, or what a trigger wants; None for nothing."""
    state = shop.state()
    for request in state.requests():
        # RUNNING, though nothing runs: a cycle died half-way and is run again.
        if request.state in ("WAITING", "RUNNING"):
            cut = Cut(request.cut_position, request.cut_time_us)
            return Order(models_of(shop, request), cut, request.trigger, request.seq)
    now_us = shop.clock.now_us()
    models = tuple(shop.settings.models)
    before = CyclesBefore(models, state.cycles, monitor.frauds_after, monitor.alarms())
    wanted = due(shop.settings.training.triggers, before, now_us)
    if wanted is None or shop.log.head() == 0:
        return None
    cut = Cut(shop.log.head(), shop.now_us())
    return Order(wanted.models, cut, wanted.reason, trigger=wanted.trigger)
