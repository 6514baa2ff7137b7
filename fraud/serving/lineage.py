"""GetHistory and GetLineage: what served and why, and which labels went into which version.

Applied entries of the event log  +  their ledger entries        → history
manifests of versions  +  batches of the log                     → uses
decisions in the archive  +  in the log beyond it                → counts by version
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import grpc

from fraud.errors import InvalidInput
from fraud.eventlog.log import BatchSummary
from fraud.labels.exclusions import Exclusion, View
from fraud.records import Entry, Outcome
from fraud.registry.chain import LedgerEntry
from fraud.registry.exclusions import fed_features, touched_by
from fraud.registry.ledger import RegistryState
from fraud.registry.second_person import Asked
from fraud.registry.version import VersionState
from fraud.registry.view import Registry
from fraud.registry.wording import models_of, words_of
from fraud.serving.edge import Edge
from fraud.serving.models import MODELS
from fraud.serving.paging import position_of, size_of
from fraud.serving.queries import Queries
from fraud.serving.service_record import applied_of
from fraud.serving.servicers import check_model, handler
from fraud.settings import Settings
from fraud.v1 import models_pb2

_COUNTED = {
    "approved": Outcome.APPROVE,
    "challenged": Outcome.CHALLENGE,
    "reviewed": Outcome.REVIEW,
    "declined": Outcome.DECLINE,
}


class LineageServicer:
    """The methods of `fraud.v1.ModelService` that look back."""

    def __init__(self, settings: Settings, registry: Registry, queries: Queries) -> None:
        self._models = tuple(settings.models)
        self._page_size_max = settings.server.page_size_max
        self._registry = registry
        self._queries = queries

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "GetHistory": (models_pb2.GetHistoryRequest, self.get_history),
            "GetLineage": (models_pb2.GetLineageRequest, self.get_lineage),
        }
        return handler(edge, MODELS, methods)

    async def get_history(self, request: models_pb2.GetHistoryRequest) -> models_pb2.GetHistoryResponse:
        """Return a page of what was put into effect, or of the whole ledger, newest first."""
        if request.model:
            check_model(request.model, self._models)
        if request.ledger:
            return await self._ledger(request)
        page = await self._queries.history(request.model, request.page_token, request.page_size)
        seqs = [applied_of(entry).ledger_seq for entry in page.rows]
        ledger = await asyncio.to_thread(self._registry.store.find, seqs)
        state = await asyncio.to_thread(self._registry.refresh)
        return models_pb2.GetHistoryResponse(
            entries=history(page.rows, ledger, state.asked),
            next_page_token=page.next_token,
        )

    async def _ledger(self, request: models_pb2.GetHistoryRequest) -> models_pb2.GetHistoryResponse:
        before, limit = (
            position_of(request.page_token),
            size_of(request.page_size, self._page_size_max),
        )
        entries = await self._queries.survey(self._registry.store.newest, request.model, before, limit)
        state = await asyncio.to_thread(self._registry.refresh)
        return models_pb2.GetHistoryResponse(
            entries=[_of_ledger(entry, state.asked) for entry in entries],
            next_page_token=str(entries[-1].seq) if len(entries) == limit and entries[-1].seq > 1 else "",
        )

    async def get_lineage(self, request: models_pb2.GetLineageRequest) -> models_pb2.GetLineageResponse:
        """Return which versions a batch went into, or what went into a version."""
        if bool(request.batch_id) == bool(request.version):
            given = "both" if request.version else "neither"
            raise InvalidInput("batch_id, version", f"{given} given", "ask for one batch or for one version")
        state = await asyncio.to_thread(self._registry.refresh)
        if request.batch_id:
            parts = await self._queries.batch(request.batch_id)
            uses = await self._queries.survey(uses_of_batch, state, parts)
            versions = [use.version for use in uses]
            return models_pb2.GetLineageResponse(uses=uses, decisions=await self._decisions(versions))
        version = state.version(request.version)
        batches = await self._queries.batches_until(version.cut_position)
        return models_pb2.GetLineageResponse(
            uses=await self._queries.survey(uses_of_version, version, batches),
            decisions=await self._decisions([version.version]),
            ancestors=ancestors(state, version),
            tainted_by=state.tainted_by(version.version),
        )

    async def _decisions(self, versions: Sequence[str]) -> list[models_pb2.DecisionCounts]:
        counts = await self._queries.decision_counts(versions) if versions else Counter()
        return decision_rows(versions, counts)


def history(
    entries: Iterable[Entry], ledger: dict[int, LedgerEntry], asked_for: Mapping[int, Asked]
) -> list[models_pb2.HistoryEntry]:
    """Join Applied entries with the ledger entries that made them, in the order given.

    `asked_for` is what was asked for under the two-person rule, by entry.
    """
    found = []
    for entry in entries:
        event = applied_of(entry)
        row = models_pb2.HistoryEntry(
            time_us=entry.arrival_time_us,
            model=event.model,
            version=event.version,
            ledger_seq=event.ledger_seq,
            refused=event.refused,
        )
        asked = ledger.get(event.ledger_seq)
        if asked is not None:
            row.what = words_of(asked)
            _ask(row, asked, asked_for)
        found.append(row)
    return found


def _of_ledger(entry: LedgerEntry, asked_for: Mapping[int, Asked]) -> models_pb2.HistoryEntry:
    row = models_pb2.HistoryEntry(
        time_us=entry.time_us,
        model=",".join(models_of(entry)),
        version=entry.body.get("version", ""),
        ledger_seq=entry.seq,
        what=words_of(entry),
    )
    _ask(row, entry, asked_for)
    return row


def _ask(row: models_pb2.HistoryEntry, asked: LedgerEntry, asked_for: Mapping[int, Asked]) -> None:
    """Say who asked for what a row tells, and why."""
    row.kind, row.actor, row.reason = asked.kind, asked.actor, asked.reason
    row.overridden = asked.body.get("overridden", "") if asked.kind == "Promoted" else ""
    first = asked_for.get(asked.body.get("asked", 0))
    row.asked_by = "" if first is None else first.actor


def uses_of_batch(state: RegistryState, parts: Sequence[BatchSummary]) -> list[models_pb2.BatchUse]:
    """Return the versions that a batch went into, oldest first; `parts` are all of the batch.

    These are the ones that its exclusion would taint: its labels shaped what
    their rows teach, may have fed their features, or they continue such a version.
    """
    data = Exclusion("labels", batch_id=parts[0].batch_id)
    touched = sorted(
        touched_by(state, data, parts[0].position), key=lambda name: state.version(name).created_seq
    )
    uses = []
    for name in touched:
        version = state.version(name)
        manifest = version.manifest
        rows = [row for row in manifest["label_batches"] if row["batch_id"] == parts[0].batch_id]
        uses.append(_use(version, manifest, rows, parts))
    return uses


def uses_of_version(version: VersionState, batches: Sequence[BatchSummary]) -> list[models_pb2.BatchUse]:
    """Return the label batches that went into a version, oldest first.

    `batches` are those of the log up to its cut; what the version's exclusions
    hid from it is left out.
    """
    manifest = version.manifest
    view = View(tuple(Exclusion.from_dict(each) for each in manifest["exclusions"]))
    by_id: dict[str, list[BatchSummary]] = defaultdict(list)
    for part in batches:
        if not view.hides_label(part.batch_id, part.source, part.submitter, part.arrival_time_us):
            by_id[part.batch_id].append(part)
    learned: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in manifest["label_batches"]:
        learned[row["batch_id"]].append(row)
    uses = [_use(version, manifest, learned[batch_id], parts) for batch_id, parts in by_id.items()]
    return [use for use in uses if use.labels or use.fed_features]


def _use(
    version: VersionState,
    manifest: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    parts: Sequence[BatchSummary],
) -> models_pb2.BatchUse:
    """Say what a version, of this manifest, has of one batch; `rows` are those of the batch in it."""
    first = parts[0]
    return models_pb2.BatchUse(
        version=version.version,
        batch_id=first.batch_id,
        source=first.source,
        submitter=first.submitter,
        labels=sum(row["labels"] for row in rows),
        frauds=sum(row["frauds"] for row in rows),
        fed_features=fed_features(manifest, first.position),
        digest=_digest([row["digest"] for row in rows] or [part.digest for part in parts]),
    )


def _digest(parts: Sequence[str]) -> str:
    """Return the digest of the only part, or SHA-256 over those of all parts in order, hex."""
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def ancestors(state: RegistryState, version: VersionState) -> list[str]:
    """Return what a version continues, nearest first."""
    found: list[str] = []
    while version.parent:
        found.append(version.parent)
        version = state.version(version.parent)
    return found


def decision_rows(
    versions: Iterable[str], counts: Counter[tuple[str, Outcome]]
) -> list[models_pb2.DecisionCounts]:
    """Return a row for each version that decided anything, in the order given."""
    rows = [
        models_pb2.DecisionCounts(
            version=version, **{name: counts[version, outcome] for name, outcome in _COUNTED.items()}
        )
        for version in versions
    ]
    return [row for row in rows if any(getattr(row, name) for name in _COUNTED)]
