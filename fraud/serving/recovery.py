"""State from disk: the newest usable snapshot, then the rest of the log.

    snapshots: data/state/features-<position>.npz   (kept: log.snapshots_kept)
               data/state/exploration-<position>.json   what exploration had spent by then
               data/state/lists-<position>.json         who was on a list
    position ≤ log head, same spec fingerprint → load; else an older one; else from nothing

What was pruned from the log since the snapshot is read from the archive. Where
the log says that other transactions are hidden from here on, the fold that had
seen them is left for one that never did.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from numpy.typing import NDArray

from fraud.archive.archive import Archive
from fraud.documents import read_json
from fraud.errors import Damaged, Unavailable
from fraud.eventlog.log import EventLog
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.rebuild import fold_past
from fraud.features.replay import Find, check_entities, replay
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule
from fraud.policy.lists import Lists
from fraud.policy.spending import Spending, day_of
from fraud.records import EntityListed, Entry, LabelsSubmitted, Outcome, Scored
from fraud.serving.dictionary import EntityDictionary
from fraud.serving.feedback import coordinates_of
from fraud.serving.progress import RestoreProgress
from fraud.serving.scorer import State

_log = structlog.get_logger("fraud.serving.recovery")
_READ_ROWS = 5_000
_NO_SUCH_FILE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What is raised by what reads a file that is JSON and not of ours."""
Beside = Literal["exploration", "lists"]
"""What else folds from the log and is written beside a snapshot, by the beginning of its file's name."""


class Snapshots:
    """Snapshots of the feature fold in one folder, newest position first."""

    def __init__(self, folder: Path, kept: int) -> None:
        self._folder = folder
        self._kept = kept

    def paths(self) -> list[Path]:
        """Return the snapshot files, newest first."""
        return sorted(self._folder.glob("features-*.npz"), reverse=True)

    def write(self, fold: FeatureFold, beside: Mapping[Beside, Spending | Lists] | None = None) -> Path:
        """Write a snapshot of the fold where it stands, then drop the oldest beyond `kept`.

        What is `beside` it stands at the same position; its files are there before the snapshot is.

        Raises:
            Unavailable: the disk failed or is full; older snapshots are still there.
        """
        try:
            return self._write(fold, beside or {})
        except OSError as error:
            raise Unavailable(
                f"{self._folder}: no snapshot was written ({error}); check disk space and permissions, "
                "until then a restart takes longer"
            ) from error

    def _write(self, fold: FeatureFold, beside: Mapping[Beside, Spending | Lists]) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, held in beside.items():
            place = self._path_beside(name, fold.position)
            draft = place.with_suffix(".tmp")
            draft.write_text(json.dumps(held.to_dict()), encoding="utf-8")
            draft.replace(place)
        path = fold.save(self._folder)
        for old in self.paths()[self._kept :]:
            old.unlink(missing_ok=True)
        for name in get_args(Beside):
            for old in self._folder.glob(f"{name}-*.json"):
                if _position(old) < self.oldest_position():
                    old.unlink(missing_ok=True)
        return path

    def read_beside(self, name: Beside, position: int) -> dict[str, Any] | None:
        """Return what `to_dict` gave at the snapshot of a position; None when it cannot be read."""
        try:
            text = self._path_beside(name, position).read_text(encoding="utf-8")
            stored = read_json(text)
        except (OSError, ValueError):
            return None
        return stored if isinstance(stored, dict) else None

    def _path_beside(self, name: Beside, position: int) -> Path:
        return self._folder / f"{name}-{position:020d}.json"

    def latest(self, spec: FeatureSpec, rule: ConflictRule, head: int) -> FeatureFold | None:
        """Return the newest fold that fits the spec and lies within the log, or None."""
        for path in self.paths():
            try:
                fold = FeatureFold.load(path, spec, rule)
            except Damaged as error:
                _log.warning("snapshot not usable", path=str(path), why=error)
                continue
            if fold.position <= head:
                return fold
        return None

    def newest_position(self) -> int:
        """Return the position of the newest snapshot kept, usable or not; 0 when there is none."""
        paths = self.paths()
        return _position(paths[0]) if paths else 0

    def position_until(self, head: int) -> int:
        """Return the position of the newest snapshot not beyond `head`, usable or not; 0 for none."""
        return next((it for it in map(_position, self.paths()) if it <= head), 0)

    def oldest_position(self) -> int:
        """Return the position of the oldest snapshot kept; 0 when there is none."""
        paths = self.paths()
        return _position(paths[-1]) if paths else 0


def _position(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def check_nothing_ahead(log: EventLog, archive: Archive, snapshots: Snapshots) -> None:
    """Refuse a log that ends before what was made of it: other entries would take those positions.

    Raises:
        Damaged: the archive or a snapshot reaches further.
    """
    head, archived, newest = log.head(), archive.position(), snapshots.newest_position()
    lost = f"log: ends at {head}, it lost its end in a power cut (log.durability) or is an older copy"
    if archived > head:
        remedy = "restore the data folder from a backup"
        if log.first() == 1:
            remedy = "move the folder archive out of the data folder, then the log is archived anew"
        raise Damaged(f"{lost}; the archive reaches {archived}: {remedy}")
    if newest > head:
        remedy = "move the folder state out of the data folder, then the log is folded anew"
        raise Damaged(f"{lost}; a snapshot stands at {newest}: {remedy}")


def restore(
    spec: FeatureSpec,
    rule: ConflictRule,
    log: EventLog,
    archive: Archive,
    snapshots: Snapshots,
    spending: Spending | None = None,
    progress: RestoreProgress | None = None,
) -> State:
    """Return state at the head of the log; `spending` comes in as nothing is spent yet.

    Whoever is on a list is found again even where the log was pruned.

    Raises:
        RestoreStopped: `progress` was told to stop.
        Damaged: entries are neither in the log nor in the archive, or none of this schema.
    """
    head = log.head()
    fold = snapshots.latest(spec, rule, head) or FeatureFold(spec, rule)
    started_at = fold.position
    if progress is None:
        progress = RestoreProgress()
    progress.begin(started_at, head)
    if spending is None:
        spending = Spending({}, ZoneInfo("UTC"))
    _resume(spending, log, snapshots, started_at, len(spec.entities))
    lists = _lists_at(started_at, spec.entity_names, log, archive, snapshots)

    def take(entry: Entry) -> None:
        progress.passed(entry.position)
        spending.take(entry)
        lists.take(entry)

    catch_up(fold, log, archive, head, follow=True, take=take)
    dictionary = EntityDictionary(len(spec.entity_names), log.tokens(), log.next_surrogates())
    progress.end()
    return State(fold, dictionary, spending, lists, started_at)


def lists_now(entity_names: Sequence[str], log: EventLog, archive: Archive, snapshots: Snapshots) -> Lists:
    """Return the lists at the head of the log, for who reads them without the rest of the state.

    Raises:
        Damaged: a pruned entry is not in the archive.
    """
    head = log.head()
    position = snapshots.position_until(head)
    lists = _lists_at(position, entity_names, log, archive, snapshots)
    for entry in listings_between(log, archive, position, head):
        lists.take(entry)
    return lists


def _lists_at(
    position: int, entity_names: Sequence[str], log: EventLog, archive: Archive, snapshots: Snapshots
) -> Lists:
    """Return the lists at a position: from their file, else from the archive and the log up to there."""
    stored = snapshots.read_beside("lists", position) if position else None
    if stored is not None:
        lists = Lists(entity_names)
        try:
            lists.resume(stored)
        except _NO_SUCH_FILE as error:
            _log.warning("lists of a snapshot not usable", position=position, why=error)
        else:
            return lists
    lists = Lists(entity_names)
    for entry in listings_between(log, archive, 0, position):
        lists.take(entry)
    return lists


def listings_between(log: EventLog, archive: Archive, after: int, upto: int) -> Iterator[Entry]:
    """Yield the entries with `after` < position ≤ `upto` that change a list, in order.

    Raises:
        Damaged: a pruned entry is not in the archive.
    """
    archived = min(archive.position(), upto)
    if after < archived:
        yield from archive.listed(after, archived)
    for entry in entries_after(log, archive, max(after, archived), upto):
        if isinstance(entry.event, EntityListed):
            yield entry


def _resume(spending: Spending, log: EventLog, snapshots: Snapshots, position: int, entities: int) -> None:
    """Bring spending to a position: from its file, else from the log's last day up to there."""
    stored = snapshots.read_beside("exploration", position) if position else None
    try:
        if position == 0 or (stored is not None and spending.resume(stored)):
            return
    except _NO_SUCH_FILE as error:
        _log.warning("spending of a snapshot not usable", position=position, why=error)
    after = 0
    since_us = day_of(log.last_arrival_us(), spending.zone)[0]
    while True:
        entries = log.decisions((Outcome.APPROVE,), since_us, "", after, _READ_ROWS)
        due = [entry for entry in entries if entry.position <= position]
        for entry in due:
            _check(entry, entities)
            spending.take(entry)
        if not due or len(due) < _READ_ROWS:
            return
        after = due[-1].position


def catch_up(
    fold: FeatureFold,
    log: EventLog,
    archive: Archive,
    upto: int,
    *,
    follow: bool,
    take: Callable[[Entry], None] | None = None,
    judge: Callable[[list[Entry], NDArray[np.float32]], None] | None = None,
) -> None:
    """Bring a fold from where it stands to a position.

    `follow`: the view changes where the log says so, as when it was written;
    otherwise the fold keeps its own. `take` is shown every entry on the way,
    `judge` every run of transactions with its features as they are now, float32[n, F].

    Raises:
        Damaged: entries are neither in the log nor in the archive, or none of this schema.
    """

    def rebuild(view: View, position: int) -> FeatureFold:
        return rebuilt(fold.spec, fold.rule, log, archive, view, position)

    entries = entries_after(log, archive, fold.position, upto)
    if take is not None:
        entries = _shown(entries, take, len(fold.spec.entities))
    for run, features in replay(
        fold, entries, _finder(fold, log, archive, upto), rebuild if follow else None
    ):
        if judge is not None:
            judge(run, features)
    fold.advance(upto)


def _shown(entries: Iterator[Entry], take: Callable[[Entry], None], entities: int) -> Iterator[Entry]:
    for entry in entries:
        _check(entry, entities)
        take(entry)
        yield entry


def _check(entry: Entry, entities: int) -> None:
    """Refuse a transaction of another number of entities before anything counts by them."""
    if isinstance(entry.event, Scored):
        check_entities(entry.event.transaction_id, entry.event.surrogates, entities)


def rebuilt(
    spec: FeatureSpec, rule: ConflictRule, log: EventLog, archive: Archive, view: View, upto: int
) -> FeatureFold:
    """Return a fold at a position that has seen the log through one view from its start.

    Raises:
        Damaged: entries are neither in the log nor in the archive.
    """
    fold = FeatureFold(spec, rule, view)
    with archive.reading():
        for _ in fold_past(fold, archive, min(archive.position(), upto)):
            pass
    catch_up(fold, log, archive, upto, follow=False)
    _log.info("state rebuilt", view=view.to_text(), to_position=upto)
    return fold


def _finder(fold: FeatureFold, log: EventLog, archive: Archive, upto: int) -> Find:
    """Return a lookup of logged transactions; the archive is asked for what was pruned.

    It is asked again only where more was pruned than it had then. A label behind the fold's position
    may be on a transaction before it that is pruned by now, and was in reach when the label came.
    """
    start = fold.position
    archived: dict[str, Coordinates] = {}
    asked_at = 0

    def find(transaction_ids: Sequence[str]) -> dict[str, Coordinates]:
        nonlocal archived, asked_at
        found = coordinates_of(log.find(transaction_ids))
        lacking = [name for name in transaction_ids if name not in found]
        if lacking and asked_at < log.first() - 1:
            asked_at = archive.position()
            archived = _archived(log, archive, start, upto)
        return found | {name: archived[name] for name in lacking if name in archived}

    return find


def _archived(log: EventLog, archive: Archive, after: int, upto: int) -> dict[str, Coordinates]:
    """Return the archived transactions with a label, also those whose label is in the log alone."""
    also: set[str] = set()
    for entry in entries_after(log, archive, max(after, archive.position()), upto):
        if isinstance(entry.event, LabelsSubmitted):
            also.update(label.transaction_id for label in entry.event.labels)
    return {name: Coordinates(*found) for name, found in archive.labelled_coordinates(also).items()}


def entries_after(log: EventLog, archive: Archive, after: int, upto: int) -> Iterator[Entry]:
    """Yield every entry with `after` < position ≤ `upto`: from the archive what was pruned, then the log.

    The log may be pruned further meanwhile, by another process, too.

    Raises:
        Damaged: an entry is neither in the log nor in the archive.
    """
    while after < upto:
        entries: Iterable[Entry] = log.read(after, min(_READ_ROWS, upto - after))
        # Asked after the page was read: what is pruned by now it may lack.
        pruned = min(log.first() - 1, upto)
        if after < pruned:
            if archive.position() < pruned:
                raise Damaged(
                    f"log: entries up to {pruned} were pruned, but the archive ends at {archive.position()}; "
                    "restore the archive folder from a backup"
                )
            entries = archive.entries(after, pruned)
        begun = after
        for entry in entries:
            if entry.position != after + 1:
                break
            yield entry
            after = entry.position
        if after == begun:
            raise Damaged(
                f"log: position {after + 1} is missing, and in the archive, too; restore the data folder "
                "from a backup"
            )
