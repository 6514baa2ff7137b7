"""A data folder opened for reading: ledger, archive and bundles; a service may run on it."""

from dataclasses import dataclass
from typing import Self

import polars as pl

from fraud.archive.archive import Archive
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.errors import ConfigError, NotAllowedNow, NotFound
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.registry.chain import LedgerEntry
from fraud.registry.ledger import RegistryState
from fraud.registry.sentinels import sentinel_ids
from fraud.registry.store import LedgerStore
from fraud.retrainer.casework import Rival
from fraud.settings import Settings
from fraud.training.history import Cut, History

RECENT_US = 7 * DAY_US
RECENT_ROWS_MAX = 20_000
"""The newest rows on which versions are compared with each other and with their training."""


@dataclass(frozen=True)
class Folder:
    """What reports are made from, as it stood when it was opened."""

    settings: Settings
    spec: FeatureSpec
    archive: Archive
    bundles: BundleStore
    entries: tuple[LedgerEntry, ...]
    state: RegistryState

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Read the ledger of a data folder.

        Raises:
            NotAllowedNow: there is no ledger yet.
            Damaged: it is not what was written.
        """
        places = settings.places
        if not places.ledger.is_file():
            raise NotAllowedNow(
                f"{places.ledger}: no registry yet; the first 'fraud retrain' registers a version"
            )
        store = LedgerStore.open(places.ledger, writable=False)
        entries = tuple(store.read())
        store.close()
        spec = FeatureSpec.of(settings)
        return cls(
            settings,
            spec,
            open_archive(settings),
            BundleStore(places.bundles),
            entries,
            RegistryState.fold(entries),
        )

    def entry(self, seq: int) -> LedgerEntry:
        """Return one entry of the ledger."""
        return self.entries[seq - 1]

    def rival(self, version: str) -> Rival:
        """Return a version with its bundle.

        Raises:
            NotFound: it was never registered, or its bundle is gone.
            ConfigError: it reads features that are gone or mean something else now.
            Damaged: the bundle is not what was written.
        """
        return Rival.readable(self.state.version(version), self.bundles, self.spec)

    def rival_left(self, version: str) -> tuple[Rival | None, str]:
        """Return a version with its bundle, or None and why it cannot be scored; nothing for ""."""
        try:
            return (self.rival(version) if version else None), ""
        except NotFound:
            return None, f"the bundle of {version} is no longer kept (retention.bundles)"
        except ConfigError as error:
            return None, str(error)

    def history(self, cut: Cut, view: View, seq: int) -> History:
        """Return what could be learned from at a cut, with the sentinels of ledger entry `seq` kept aside."""
        then = RegistryState.fold(self.entries[:seq])
        apart = sentinel_ids(then.sentinels.values())
        return History(self.archive, self.spec, self.settings, cut, view, apart)

    def history_now(self) -> History:
        """Return all that is archived, through the exclusions in force."""
        position = self.archive.position()
        newest = [
            table(position).select(pl.col("arrival_time_us").max()).collect().item()
            for table in (self.archive.transactions, self.archive.labels)
        ]
        cut = Cut(position, max((int(each) for each in newest if each is not None), default=0))
        return self.history(cut, self.state.view(), self.state.seq)

    def recent(self, model: str) -> pl.DataFrame:
        """Return a model's newest rows with their features, in log order."""
        history = self.history_now()
        week = pl.col("event_time_us") > history.cut.time_us - RECENT_US
        # Which rows are the newest is found by their positions alone: features of a week may be many.
        own = history.transactions(model, with_features=False).filter(week)
        first = own.select(pl.col("position").top_k(RECENT_ROWS_MAX).min()).collect().item()
        newest = week & (pl.col("position") >= (first or 0))
        return history.transactions(model, newest).sort("position").collect()
