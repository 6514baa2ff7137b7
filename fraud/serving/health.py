"""Readiness from a real self-score: a made-up row through features, model and policy."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fraud.errors import FraudError
from fraud.records import Transaction
from fraud.serving.batcher import Batcher
from fraud.serving.edge import Context
from fraud.serving.progress import RestoreStopped
from fraud.serving.scorer import Scorer
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.health")
SELF_SCORE_ID = "self-score"
WATCHES_MAX = 100
"""Calls of `Watch` at once, of all callers: health is open to everybody, and such a call has no end."""
Status: TypeAlias = int
"""A `ServingStatus`: a number on the wire."""


def probe_rows(settings: Settings, now_us: int) -> list[Transaction]:
    """Return one transaction per model, with known shape and unknown entities."""
    schema = settings.schema_
    return [
        Transaction(
            SELF_SCORE_ID,
            now_us,
            model,
            tuple(SELF_SCORE_ID for _ in schema.entity_names),
            100,
            settings.service.currency,
            100,
            tuple(float("nan") for _ in schema.numeric_names),
            tuple("" for _ in schema.categorical_names),
        )
        for model in settings.models
    ]


class Health(health_pb2_grpc.HealthServicer):
    """`grpc.health.v1`, whose state is set without waiting for anybody who watches it.

    The servicer that comes with gRPC writes to watchers under the lock that `set` takes: one who does not
    read would keep the service from ever saying another thing, and from whatever it does after that.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, Status] = {}
        self._changed = asyncio.Event()
        self._watches = 0

    def set(self, service: str, status: Status) -> None:
        """Say how a service is from now on; on the event loop."""
        if self._statuses.get(service) != status:
            self._statuses[service] = status
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def Check(  # noqa: N802 — the name on the wire
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """Return how a service is."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 — the name on the wire
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Tell how a service is, and again whenever that changes; what came in between is left out."""
        if self._watches >= WATCHES_MAX:
            problem = f"{WATCHES_MAX} watch already; ask with Check, which has an end"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, problem)
        self._watches += 1
        told: Status | None = None
        try:
            while True:
                changed = self._changed
                status = self._statuses.get(request.service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
                if status != told:
                    await context.write(health_pb2.HealthCheckResponse(status=status))
                    told = status
                await changed.wait()
        finally:
            self._watches -= 1


class Readiness:
    """Keeps `grpc.health.v1` true: SERVING only while self-scores succeed."""

    def __init__(
        self, settings: Settings, scorer: Scorer, batcher: Batcher, show: Callable[[float], None]
    ) -> None:
        """`show` is told 1 while this process serves, 0 while it does not."""
        self.servicer = Health()
        self._settings = settings
        self._scorer = scorer
        self._batcher = batcher
        self._every_s = settings.server.self_score_every / 1e6
        self._show = show
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost = asyncio.Event()
        self._checking = self._ended = False
        self._services = (
            "",
            "fraud.v1.ScoringService",
            "fraud.v1.LabelService",
            "fraud.v1.ModelService",
            "fraud.v1.PolicyService",
            "fraud.v1.AccessService",
        )

    async def check(self) -> bool:
        """Self-score every model and publish whether all succeeded; recover a lost state first."""
        self._checking = True
        try:
            serving = await self._serves() and not self._ended
        finally:
            self._checking = False
        self.publish(serving=serving)
        return serving

    async def _serves(self) -> bool:
        try:
            if not self._scorer.ready:
                await self._batcher.run(self._scorer.recover)
            if self._scorer.unwritable:
                await self._batcher.run(self._scorer.try_disk)
            for row in probe_rows(self._settings, self._scorer.now_us()):
                await self._batcher.run(partial(self._scorer.self_score, row))
        except (FraudError, RestoreStopped) as error:
            _log.error("self-score failed; not ready", why=error)
            return False
        except Exception:  # noqa: BLE001 — it may pass, and only the next check finds out
            _log.exception("self-score failed; not ready")
            return False
        # State may have been lost right after, by the next batch.
        return self._scorer.ready

    def restoring(self) -> None:
        """Tell that this process does not serve, and check at once whether it does again; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._lose)

    def _lose(self) -> None:
        self.publish(serving=False)
        if not self._checking:  # else a restore that fails would follow upon the other
            self._lost.set()

    def end(self) -> None:
        """Tell that this process serves no more, whatever a check under way finds."""
        self._ended = True
        self.publish(serving=False)

    def publish(self, *, serving: bool) -> None:
        """Tell health checks and metrics whether this process serves."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in self._services:
            self.servicer.set(service, status)
        self._show(float(serving))

    async def watch(self, stopping: asyncio.Event) -> None:
        """Check at every `server.self_score_every`, and when state is lost, until stopping."""
        self._loop = asyncio.get_running_loop()
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stop.done():
                lost = asyncio.create_task(self._lost.wait())
                await asyncio.wait((stop, lost), timeout=self._every_s, return_when=asyncio.FIRST_COMPLETED)
                lost.cancel()
                self._lost.clear()
                if not stop.done():
                    await self.check()
        finally:
            stop.cancel()
