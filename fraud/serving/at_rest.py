"""Reads a data folder on which no scorer runs, as the scorer would answer; nothing is written.

log, ledger, archive, bundles → the servicers that look back → the messages of `fraud.client`

Who runs this may read the folder, so no role is asked for, and scores are shown as they are. What a scorer
holds in memory (who is listed, which number a token has) is folded anew, when somebody asks for it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Self

from fraud.archive.archive import Archive
from fraud.bundle.store import BundleStore
from fraud.clock import Clock
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.folder import clock_of, open_log
from fraud.eventlog.log import EventLog
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.policy.lists import Lists
from fraud.records import MISSING_SURROGATE
from fraud.registry.rules import rules_by_digest
from fraud.registry.store import LedgerStore
from fraud.registry.view import Registry
from fraud.serving.access import AccessServicer
from fraud.serving.decisions import DecisionServicer
from fraud.serving.exclusions import ExclusionServicer
from fraud.serving.follower import ChampionLoader
from fraud.serving.label_batches import BatchServicer
from fraud.serving.lineage import LineageServicer
from fraud.serving.listings import ListingServicer
from fraud.serving.logged_features import LoggedFeatures
from fraud.serving.models import ModelServicer
from fraud.serving.queries import Queries
from fraud.serving.reasons import ReasonsDesk
from fraud.serving.recovery import Snapshots, lists_now
from fraud.serving.replacements import Replacements
from fraud.serving.shadows import InShadow
from fraud.settings import Settings
from fraud.v1 import access_pb2, labels_pb2, models_pb2, policy_pb2, scoring_pb2


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
        """Return now by the clock of the service, µs UTC; never older than the log's last arrival."""
        return max(self.clock.now_us(), self.log.last_arrival_us())


class FolderReader:
    """The reads of `fraud.client` that a data folder alone can answer; a context manager."""

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
            registry, archive = Registry(store), open_archive(settings)
            queries, bundles = Queries(log, archive, settings.server), BundleStore(settings.places.bundles)
            opened.callback(queries.close)
            desk = _desk(settings, log, archive, registry, bundles)
            opened.callback(desk.close)
            present, listed = AtRest(log, clock_of(settings, log)), _Listed(settings, log, archive)
            self._registry = registry
            self._models = ModelServicer(settings, registry, queries, present)
            self._lineage = LineageServicer(settings, registry, queries)
            self._exclusions = ExclusionServicer(settings, registry, queries, Replacements(settings, bundles))
            self._decisions = DecisionServicer(settings, desk, queries)
            self._batches = BatchServicer(queries)
            self._listings = ListingServicer(
                settings, lambda: listed.lists, listed.surrogate_of, present.now_us
            )
            self._access = AccessServicer(registry, present.now_us)
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

    def list_asked(self, *, all_: bool = False) -> list[access_pb2.Asked]:
        """Return what waits for a second person, newest first; with `all_` also what does not any more."""
        return list(asyncio.run(self._access.list_asked(access_pb2.ListAskedRequest(all=all_))).asked)

    def list_exclusions(self, exclusion_seq: int = 0) -> list[models_pb2.ExclusionStatus]:
        """Return every exclusion, or one, with the steps of its repair; newest first."""
        request = models_pb2.ListExclusionsRequest(exclusion_seq=exclusion_seq)
        return list(asyncio.run(self._exclusions.list_exclusions(request)).exclusions)

    def list_listings(
        self, list_name: str = "", *, entity: str = "", token: str = "", page_token: str = ""
    ) -> policy_pb2.ListListingsResponse:
        """Return a page of what is listed now; with `entity` and `token` that one alone, if it is."""
        request = policy_pb2.ListListingsRequest(
            list_name=list_name, entity=entity, token=token, page_token=page_token
        )
        return asyncio.run(self._listings.list_listings(request))

    def list_batches(
        self, since_us: int = 0, source: str = "", *, page_token: str = ""
    ) -> labels_pb2.ListBatchesResponse:
        """Return a page of label batches, oldest first."""
        request = labels_pb2.ListBatchesRequest(since_us=since_us, source=source, page_token=page_token)
        return asyncio.run(self._batches.list_batches(request))

    def list_decisions(
        self, outcomes: Iterable[str] = (), since_us: int = 0, *, model: str = "", page_token: str = ""
    ) -> scoring_pb2.ListDecisionsResponse:
        """Return a page of decisions by outcome since a moment, oldest first."""
        request = scoring_pb2.ListDecisionsRequest(
            outcomes=[scoring_pb2.Outcome.Value(outcome) for outcome in outcomes],
            since_us=since_us,
            model=model,
            page_token=page_token,
        )
        return asyncio.run(self._decisions.list_decisions(request))

    def get_decision_with_facts(self, transaction_id: str) -> scoring_pb2.GetDecisionResponse:
        """Return a stored decision, whose payment it was, and the labels known of it."""
        self._registry.refresh()  # reasons come from versions and rules of the ledger as it was last folded
        request = scoring_pb2.GetDecisionRequest(transaction_id=transaction_id, with_facts=True)
        return asyncio.run(self._decisions.get_decision(request))


class _Listed:
    """Who is listed and whose token it is, folded from the folder once somebody asks."""

    def __init__(self, settings: Settings, log: SqliteEventLog, archive: Archive) -> None:
        self._settings = settings
        self._log = log
        self._archive = archive

    @cached_property
    def lists(self) -> Lists:
        """The lists at the head of the log."""
        settings = self._settings
        snapshots = Snapshots(settings.places.state, settings.log.snapshots_kept)
        return lists_now(settings.schema_.entity_names, self._log, self._archive, snapshots)

    def surrogate_of(self, entity: str, token: str) -> int:
        """Return the surrogate of a token, `MISSING_SURROGATE` for one that never came.

        Raises:
            ConfigError: the entity key is missing, or is not the one of this log.
        """
        key, place = EntityKey.of(self._settings), self._settings.schema_.entity_names.index(entity)
        # By another key none would be found, and whoever is blocked be said not to be.
        self._log.hold_to_key(key.fingerprint)
        stored = key.stored(entity, token)
        found = (it.surrogate for it in self._log.tokens() if (it.entity_index, it.token) == (place, stored))
        return next(found, MISSING_SURROGATE)


def _desk(
    settings: Settings, log: EventLog, archive: Archive, registry: Registry, bundles: BundleStore
) -> ReasonsDesk:
    """Return the desk that explains old decisions; it loads a bundle when it is asked for one."""
    spec = FeatureSpec.of(settings)
    return ReasonsDesk(
        ChampionLoader(settings, spec, registry, bundles).load,
        LoggedFeatures.of(spec, log),
        settings.server,
        lambda model, digest: rules_by_digest(registry.state, model, digest),
        archive.find_entry,
        lambda _: None,
    )
