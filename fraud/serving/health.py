"""Readiness from a real self-score: a made-up row through features, model and policy."""

import asyncio
from functools import partial

import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from fraud.errors import FraudError
from fraud.records import Transaction
from fraud.serving.batcher import Batcher
from fraud.serving.scorer import Scorer
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.health")
SELF_SCORE_ID = "self-score"


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


class Readiness:
    """Keeps `grpc.health.v1` true: SERVING only while self-scores succeed."""

    def __init__(self, settings: Settings, scorer: Scorer, batcher: Batcher) -> None:
        self.servicer = HealthServicer()
        self._settings = settings
        self._scorer = scorer
        self._batcher = batcher
        self._every_s = settings.server.self_score_every / 1e6
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
        try:
            if not self._scorer.ready:
                await self._batcher.run(self._scorer.recover)
            if self._scorer.unwritable:
                await self._batcher.run(self._scorer.try_disk)
            for row in probe_rows(self._settings, self._scorer.now_us()):
                await self._batcher.run(partial(self._scorer.self_score, row))
        except FraudError as error:
            _log.error("self-score failed; not ready", why=error)
        except Exception:  # noqa: BLE001 — it may pass, and only the next check finds out
            _log.exception("self-score failed; not ready")
        else:
            await self.publish(serving=True)
            return True
        await self.publish(serving=False)
        return False

    async def publish(self, *, serving: bool) -> None:
        """Tell health checks whether this process serves."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in self._services:
            await self.servicer.set(service, status)

    async def watch(self, stopping: asyncio.Event) -> None:
        """Check at every `server.self_score_every` until stopping."""
        while not stopping.is_set():
            try:
                await asyncio.wait_for(stopping.wait(), timeout=self._every_s)
            except TimeoutError:
                await self.check()
