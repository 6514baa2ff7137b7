"""Assembles the scoring process and runs it until SIGTERM.

lock the data folder → open log, ledger, archive → listen, not ready → restore state → load champions
  → a first look at what exclusions demand → serve
  → SIGTERM: not ready, no new calls, end a restore, answer those in flight (server.drain), snapshot, unlock
"""

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import structlog
import uvloop
from grpc_health.v1 import health_pb2_grpc

from fraud.eventlog.lock import lock_data_folder
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.monitoring.endpoint import Guard, serve_metrics
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.policy.rules import RuleSet
from fraud.policy.spending import Spending
from fraud.registry.rules import rules_by_digest
from fraud.serving.batcher import Batcher
from fraud.serving.champions import Champions
from fraud.serving.cores import keep_to
from fraud.serving.edge import Edge
from fraud.serving.entrance import Entrance
from fraud.serving.eraser import Eraser
from fraud.serving.excluding import Excluding
from fraud.serving.feedback import Feedback
from fraud.serving.follower import ChampionLoader, LedgerFollower
from fraud.serving.health import Readiness
from fraud.serving.keeper import Keeper
from fraud.serving.logged_features import LoggedFeatures
from fraud.serving.progress import RestoreProgress, RestoreStopped
from fraud.serving.queries import Queries
from fraud.serving.reasons import ReasonsDesk
from fraud.serving.reconciler import Reconciler
from fraud.serving.recovery import restore
from fraud.serving.replacements import Replacements
from fraud.serving.rollback import Rollbacks
from fraud.serving.ruling import Ruling
from fraud.serving.scorer import RESTORING, Scorer, State
from fraud.serving.second_person import SecondPerson
from fraud.serving.services import servicers_of
from fraud.serving.shadowing import Shadowing
from fraud.serving.stores import Stores
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.server")
_SWITCH_INTERVAL_S = 0.0002
"""The scoring thread and the event loop share the interpreter; at the default
of 5 ms each waits for the other's whole slice."""
_QUIET_S = 0.25
"""Without a call for so long, callers have heard that the scorer drains."""
_LOOK_S = 0.02


class ScoringProcess:
    """Everything the scoring process holds, from open to close; `stores` are opened unless given."""

    def __init__(self, settings: Settings, stores: Stores | None = None) -> None:
        self.settings = settings
        self.spec = FeatureSpec.of(settings)
        self.metrics = ScorerMetrics(
            tuple(settings.models),
            settings.labels.sources,
            settings.schema_.entity_names,
            settings.data_dir,
            alarms=settings.monitoring.alarms,
            counting=settings.monitoring.counting,
        )
        self.entrance = Entrance(settings.server, self.metrics)
        stores = stores or Stores.open(settings)
        self._stores = stores
        self.clock, self.log, self.archive = stores.clock, stores.log, stores.archive
        self.snapshots, self.registry, self.bundles = stores.snapshots, stores.registry, stores.bundles
        self._assemble_scoring(settings)
        self._assemble_repairs(settings)
        self.eraser = Eraser(settings, self.log, self.archive, self.registry, self.scorer, self.batcher)
        self.readiness = Readiness(settings, self.scorer, self.batcher, self.metrics.serving.set)
        self.keeper = Keeper(settings, self.spec, self.scorer, self.archive, self.snapshots)

    def _assemble_scoring(self, settings: Settings) -> None:
        self.progress = RestoreProgress(self.metrics.restore_progress.set)
        self.loader = ChampionLoader(settings, self.spec, self.registry, self.bundles)
        self.champions = Champions()
        self.desk = ReasonsDesk(
            self.loader.load,
            LoggedFeatures.of(self.spec, self.log),
            settings.server,
            self._past_rules,
            self.archive.find_entry,
            self.metrics.unexplained.inc,
        )
        self.scorer = Scorer(
            settings,
            self.log,
            self.clock,
            self.champions,
            self.desk,
            self.metrics,
            self._restore,
        )
        self.batcher = Batcher(self.scorer, settings.server)
        self.queries = Queries(self.log, self.archive, settings.server)
        self.feedback = Feedback(settings, self.scorer, self.clock, self.metrics)

    def _restore(self) -> State:
        """Return state at the head of the log; health says meanwhile that nothing is served."""
        self.readiness.restoring()
        rule, spending = ConflictRule.of(self.settings.labels), Spending.of(self.settings)
        return restore(self.spec, rule, self.log, self.archive, self.snapshots, spending, self.progress)

    def _assemble_repairs(self, settings: Settings) -> None:
        self.ruling = Ruling(settings, self.spec, self.scorer.overruling, self.metrics)
        self.replacements = Replacements(settings, self.bundles)
        self.reconciler = Reconciler(
            settings, self.registry, self.scorer, self.archive, self.replacements, self.metrics
        )
        self.follower = LedgerFollower(
            settings,
            self.registry,
            self.loader,
            self.scorer,
            self.champions,
            self.desk,
            self.reconciler,
            self.metrics,
            Shadowing(settings, self.registry, self.loader, self.scorer, self.metrics).settle,
            self.ruling,
        )
        self.second = SecondPerson(settings.server.two_person, self.registry, self.scorer.now_us)
        self.rollbacks = Rollbacks(
            settings,
            self.registry,
            self.scorer,
            self.batcher,
            self.loader,
            self.bundles,
            self.follower,
            self.metrics,
            self.second,
        )
        self.excluding = Excluding(
            settings,
            self.registry,
            self.scorer,
            self.batcher,
            self.archive,
            self.follower,
            self.replacements,
            self.second,
        )

    def _past_rules(self, model: str, digest: str) -> RuleSet | None:
        return rules_by_digest(self.registry.state, model, digest)

    def build_server(self) -> grpc.aio.Server:
        """Return the gRPC server with every service, not started."""
        limits = self.settings.server
        server = grpc.aio.server(interceptors=self.entrance.interceptors, options=self.entrance.options)
        self.edge = edge = Edge(
            self.metrics,
            limits.message_bytes_max,
            limits.streams_max,
            log_calls=self.settings.monitoring.log_level == "debug",
        )
        server.add_generic_rpc_handlers([servicer.handlers(edge) for servicer in servicers_of(self)])
        for service, methods in edge.apart.items():
            server.add_registered_method_handlers(service, methods)
        health_pb2_grpc.add_HealthServicer_to_server(self.readiness.servicer, server)
        self.entrance.reflect(server)
        return server

    async def look(self) -> None:
        """Put what is new in the ledger into effect; what fails is logged, and tried again by `follow`."""
        try:
            await self.follower.poll(self.batcher)
        except Exception:  # noqa: BLE001 — scoring goes on whatever happens beside it
            _log.exception("following the ledger failed; will try again")

    async def follow(self, stopping: asyncio.Event) -> None:
        """Follow the ledger, keep snapshots and the log's length, until stopping."""
        every_s = self.settings.server.ledger_poll / 1e6
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), timeout=every_s)
            await self.look()
            try:
                await self.keeper.tend(self.batcher)
                self.eraser.tend()
                self._observe()
            except Exception:  # noqa: BLE001 — scoring goes on whatever happens beside it
                _log.exception("keeping snapshots and log failed; will try again")

    def _observe(self) -> None:
        now_us = self.scorer.now_us()
        self.metrics.log_position.set(self.log.head())
        self.metrics.queue_rows.set(self.batcher.queued_rows)
        self.metrics.queue_label_rows.set(self.batcher.fed_rows)
        self.metrics.wait_seconds.set(self.batcher.wait_s())
        self._observe_exploration()
        if self.scorer.state is not None:
            self.metrics.listed(dict(self.scorer.state.lists.counts))
            self.metrics.labels_waiting.set(len(self.scorer.state.fold.waiting))
        for model in self.settings.models:
            champion = self.champions.get(model)
            age_us = None if champion is None else max(0, now_us - champion.trained_until_us)
            self.metrics.champion_age(model, None if age_us is None else age_us / 1e6)

    def _observe_exploration(self) -> None:
        state = self.scorer.state
        for model, spent in state.spending.models.items() if state is not None else ():
            settings = self.settings.models[model].policy.exploration
            self.metrics.exploration(
                model,
                enabled=settings.active and model in self.scorer.exploring,
                spent_minor=spent.total_minor,
                left_minor=spent.left_minor,
            )

    def close(self) -> None:
        """Close what was opened."""
        self.eraser.close()
        self.reconciler.close()
        self.desk.close()
        self.queries.close()
        self._stores.close()


async def _serve(process: ScoringProcess, on_ready: Callable[[int], None] | None) -> None:
    limits = process.settings.server
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = process.build_server()
    process.edge.closed = RESTORING
    process.readiness.publish(serving=False)
    port = process.entrance.bind(server)
    await server.start()
    _log.info("listening, not ready yet", host=limits.host, port=port)
    try:
        if await _restored(process, stopping):
            await _answer(process, server, stopping, port, on_ready)
    finally:
        await server.stop(0)


async def _drain(edge: Edge, server: grpc.aio.Server, within_s: float) -> None:
    """Let calls in flight be answered and later ones be refused by name, then stop listening.

    gRPC cancels, without a word, what comes in while it stops; so it stops when callers have gone elsewhere.
    """
    end = time.monotonic() + within_s
    while not edge.quiet(_QUIET_S) and time.monotonic() < end:
        await asyncio.sleep(_LOOK_S)
    await server.stop(max(0.0, end - time.monotonic()))


async def _restored(process: ScoringProcess, stopping: asyncio.Event) -> bool:
    """Restore state off the event loop, so that health answers meanwhile; False when told to stop first."""
    restoring = asyncio.get_running_loop().run_in_executor(None, process.scorer.recover)
    await _done_or_told(restoring, stopping)
    if not restoring.done():
        process.progress.stop()
    try:
        await restoring
    except RestoreStopped as stopped:
        _log.info("stopped before it served", why=stopped)
        return False
    return True


async def _done_or_told(work: "asyncio.Future[Any]", stopping: asyncio.Event) -> None:
    """Wait until work is done or the process is told to stop."""
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()


async def _answer(
    process: ScoringProcess,
    server: grpc.aio.Server,
    stopping: asyncio.Event,
    port: int,
    on_ready: Callable[[int], None] | None,
) -> None:
    """Serve until stopping, then drain and write a snapshot."""
    limits = process.settings.server
    await asyncio.to_thread(process.follower.start)
    process.batcher.start(asyncio.get_running_loop())
    # Before the first call, so that a tainted champion decides none.
    look = asyncio.create_task(process.look())
    await _done_or_told(look, stopping)
    await process.readiness.check()
    # What stands now stays: a full collection that walks it again would stall answers by 0.1 s and more.
    gc.collect()
    gc.freeze()
    process.edge.closed = ""
    _log.info("serving", host=limits.host, port=port, models=list(process.settings.models))
    if on_ready is not None:
        on_ready(port)
    watchers = [
        asyncio.create_task(process.readiness.watch(stopping)),
        asyncio.create_task(process.follow(stopping)),
        asyncio.create_task(process.entrance.watch(stopping)),
    ]
    await stopping.wait()
    _log.info("draining", queued_rows=process.batcher.queued_rows)
    process.progress.stop()
    process.reconciler.stop()
    process.edge.closed = "the scorer is draining; send to another one, or again after its restart"
    process.readiness.end()
    await _drain(process.edge, server, limits.drain / 1e6)
    await _ended([look, *watchers])
    await process.follower.close()
    await process.batcher.close()
    process.keeper.snapshot_now()
    _log.info("drained", log_position=process.log.head())


async def _ended(tasks: Sequence["asyncio.Task[None]"]) -> None:
    """Wait for the end of tasks; one that has failed is logged and keeps nothing from being closed."""
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        if error is not None:
            _log.error("a watcher failed before the end", exc_info=error)


def run(settings: Settings, on_ready: Callable[[int], None] | None = None) -> None:
    """Run the scoring process until SIGTERM or SIGINT; `on_ready` gets the port.

    Raises:
        DataFolderLocked: another scorer owns the data folder.
        ConfigError: log and schema do not fit together.
        Damaged: ledger, log or archive are not what was written.
    """
    with lock_data_folder(settings.data_dir):
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        keep_to(settings.server.cores, str(settings.data_dir))
        process = ScoringProcess(settings)
        monitoring = settings.monitoring
        exporter = serve_metrics(
            process.metrics.registry, monitoring.host, monitoring.scorer_port, Guard(monitoring)
        )
        try:
            uvloop.run(_serve(process, on_ready))
        finally:
            exporter.close()
            process.close()
