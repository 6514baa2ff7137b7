"""What a data folder may let go of, and letting it go (`fraud archive vacuum`).

    bundles       those that `fraud.registry.retention` lets go; those no version names
    archive       files that no version of a table names any more
    snapshots     of the feature state, beyond log.snapshots_kept
    leftovers     of processes that died half-way

Rows are never among it, neither of the archive nor of the log. That is why old
snapshots are not needed, not even for a rollback: a rollback changes which
bundle serves and which labels count, never the position of the feature state,
and from archive and log a state of any position can be folded anew.

The ledger is told first, if it has not moved on since the plan was made: what
somebody rolled back to or registered in between is planned again.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from fraud.archive.archive import Archive
from fraud.bundle.store import WRITING_S, BundleStore
from fraud.clock import Clock
from fraud.errors import NotFound, StaleHead
from fraud.eventlog.folder import clock_of, open_log
from fraud.eventlog.log import EventLog
from fraud.features.archive import open_archive
from fraud.registry.retention import BundleFate, bundle_fates, services
from fraud.registry.store import LedgerStore
from fraud.serving.recovery import Snapshots
from fraud.settings import Settings
from fraud.settings.durations import format_duration

What = Literal["bundle", "archive file", "snapshot", "leftover"]
ATTEMPTS = 5
"""Times a plan is made anew because the ledger moved on."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that may go: a file, or a folder with all in it. `digest` is that of a bundle."""

    what: What
    path: Path
    name: str
    bytes: int
    why: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class VacuumPlan:
    """What may go, what of the bundles stays, and the head of the ledger this was decided on."""

    removals: tuple[Removal, ...]
    kept: tuple[BundleFate, ...]
    head: int

    @property
    def bytes(self) -> int:
        """Bytes of all removals."""
        return sum(removal.bytes for removal in self.removals)


@dataclass(frozen=True, slots=True)
class Vacuum:
    """Works on the data folder of one service, whoever else runs on it."""

    settings: Settings
    log: EventLog
    ledger: LedgerStore
    archive: Archive
    bundles: BundleStore
    snapshots: Snapshots
    clock: Clock

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the data folder.

        Raises:
            NotAllowedNow: there is no log yet.
        """
        places = settings.places
        log = open_log(settings)
        return cls(
            settings,
            log,
            LedgerStore.open(places.ledger, create=False),
            open_archive(settings),
            BundleStore(places.bundles),
            Snapshots(places.state, settings.log.snapshots_kept),
            clock_of(settings, log),
        )

    def close(self) -> None:
        """Close log and ledger."""
        self.log.close()
        self.ledger.close()

    def plan(self) -> VacuumPlan:
        """Return what may go now; nothing is changed."""
        state = self.ledger.state()
        served = services(self.log.applied())
        fates = bundle_fates(
            state,
            served,
            self.settings.retention,
            self._now_us(),
            keep_reference=self.settings.monitoring.reference,
        )
        removals = [
            *self._bundles(fates),
            *self._archive_files(),
            *self._snapshots(),
            *self._leftovers(),
        ]
        kept = tuple(fate for fate in fates if fate.kept and self.bundles.has(fate.digest))
        return VacuumPlan(tuple(removals), kept, state.seq)

    def carry_out(self, *, actor: str, reason: str) -> VacuumPlan:
        """Let go of what may go, on the record; return what went. Nothing to go: nothing is recorded.

        Raises:
            StaleHead: the ledger kept moving on.
            Unavailable: a file could not be deleted; the rest goes next time.
        """
        for _ in range(ATTEMPTS):
            plan = self.plan()
            if not plan.removals:
                return plan
            try:
                self._record(plan, actor, reason)
            except StaleHead:
                continue
            self._delete(plan)
            return plan
        raise StaleHead(f"the ledger moved on {ATTEMPTS} times while this was decided; try again later")

    def _record(self, plan: VacuumPlan, actor: str, reason: str) -> None:
        bundles = [removal.digest for removal in plan.removals if removal.what == "bundle"]
        body = {"bundles": bundles, "files": len(plan.removals) - len(bundles), "bytes": plan.bytes}
        self.ledger.append(
            "Vacuumed",
            body,
            actor=actor,
            reason=reason,
            time_us=self._now_us(),
            expected_head=plan.head,
        )

    def _delete(self, plan: VacuumPlan) -> None:
        if any(removal.what == "archive file" for removal in plan.removals):
            self.archive.vacuum(self._files_kept)
        for removal in plan.removals:
            if removal.what == "bundle":
                with contextlib.suppress(NotFound):  # another vacuum came first
                    self.bundles.delete(removal.digest)
            elif removal.what in ("snapshot", "leftover"):
                _delete(removal.path)

    def _now_us(self) -> int:
        return max(self.clock.now_us(), self.log.last_arrival_us())

    @property
    def _files_kept(self) -> timedelta:
        return timedelta(microseconds=self.settings.retention.files)

    def _bundles(self, fates: list[BundleFate]) -> Iterator[Removal]:
        named = {fate.digest: fate for fate in fates}
        for digest in self.bundles.digests():
            fate = named.get(digest)
            if (fate is not None and fate.kept) or self.bundles.touched_within(digest, WRITING_S):
                continue
            name = ", ".join(fate.versions) if fate else digest[:12]
            why = fate.why if fate else "no version names it: the cycle that wrote it died"
            path = self.settings.places.bundles / digest
            yield Removal("bundle", path, name, self.bundles.size(digest), why, digest)

    def _archive_files(self) -> Iterator[Removal]:
        why = f"no version of its table has named it for {format_duration(self.settings.retention.files)}"
        for path in self.archive.unnamed(self._files_kept):
            if path.exists():
                name = f"{path.parent.name}/{path.name}"
                yield Removal("archive file", path, name, path.stat().st_size, why)

    def _snapshots(self) -> Iterator[Removal]:
        kept = self.settings.log.snapshots_kept
        for path in self.snapshots.paths()[kept:]:
            why = f"{kept} newer ones are there (log.snapshots_kept)"
            yield Removal("snapshot", path, path.name, path.stat().st_size, why)

    def _leftovers(self) -> Iterator[Removal]:
        why = "its writer died half-way, more than a day ago"
        drafts = [
            path
            for path in sorted(self.settings.places.state.glob("features-*.tmp"))
            if time.time() - path.stat().st_mtime >= WRITING_S
        ]
        for path in [*self.bundles.leftovers(), *drafts]:
            yield Removal("leftover", path, path.name, _bytes_in(path), why)


def _bytes_in(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
