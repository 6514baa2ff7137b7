"""Reads a data folder on which no scorer runs, as the scorer would answer; nothing is written.

log and ledger, opened for reading → the servicers that look back → the messages of `fraud.client`

Who runs this may read the folder, so no role is asked for.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from fraud.clock import Clock
from fraud.eventlog.folder import clock_of, open_log
from fraud.eventlog.log import EventLog
from fraud.features.archive import open_archive
from fraud.registry.store import LedgerStore
from fraud.registry.view import Registry
from fraud.serving.lineage import LineageServicer
from fraud.serving.models import ModelServicer
from fraud.serving.queries import Queries
from fraud.serving.shadows import InShadow
from fraud.settings import Settings
from fraud.v1 import models_pb2


class NoShadows:
    """Where nothing scores, nothing scores in shadow."""

    def of(self, model: str) -> Sequence[InShadow]:
        """Return what is in shadow for a model."""
        del model
        return ()


@dataclass(frozen=True, slots=True)
class AtRest:
    """What a scorer is to those who look back, when there is none."""

    log: EventLog
    clock: Clock
    shadows: NoShadows = field(default_factory=NoShadows)

    def now_us(self) -> int:
        """Return now by the clock of the service, µs UTC."""
        return self.clock.now_us()


class FolderReader:
    """The reads of `fraud.client` that ledger and log alone can answer; a context manager."""

    def __init__(self, settings: Settings) -> None:
        """Open log and ledger.

        Raises:
            NotAllowedNow: there is no log yet.
            NotFound, Damaged, Unavailable: as `fraud.eventlog.connection.connect`.
        """
        with ExitStack() as opened:
            log = open_log(settings)
            opened.callback(log.close)
            store = LedgerStore.open(settings.places.ledger, writable=False)
            opened.callback(store.close)
            registry, queries = Registry(store), Queries(log, open_archive(settings), settings.server)
            opened.callback(queries.close)
            self._models = ModelServicer(settings, registry, queries, AtRest(log, clock_of(settings, log)))
            self._lineage = LineageServicer(settings, registry, queries)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, where)

    def get_champion(self, model: str, at_us: int = 0) -> models_pb2.GetChampionResponse:
        """Return which version served a model last, or at a moment."""
        return asyncio.run(self._models.get_champion(models_pb2.GetChampionRequest(model=model, at_us=at_us)))

    def list_versions(self, model: str = "", *, page_token: str = "") -> models_pb2.ListVersionsResponse:
        """Return a page of versions, newest first."""
        request = models_pb2.ListVersionsRequest(model=model, page_token=page_token)
        return asyncio.run(self._models.list_versions(request))

    def get_version(self, version: str) -> models_pb2.GetVersionResponse:
        """Return a version with its manifest and verdicts."""
        return asyncio.run(self._models.get_version(models_pb2.GetVersionRequest(version=version)))

    def get_history(
        self, model: str = "", *, page_token: str = "", ledger: bool = False
    ) -> models_pb2.GetHistoryResponse:
        """Return a page of what was put into effect, or of the whole ledger, newest first."""
        request = models_pb2.GetHistoryRequest(model=model, page_token=page_token, ledger=ledger)
        return asyncio.run(self._lineage.get_history(request))

    def get_lineage(self, *, batch_id: str = "", version: str = "") -> models_pb2.GetLineageResponse:
        """Return which versions a label batch went into, or what went into a version."""
        request = models_pb2.GetLineageRequest(batch_id=batch_id, version=version)
        return asyncio.run(self._lineage.get_lineage(request))
