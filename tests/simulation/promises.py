"""The promises, held against what is on disk and in memory.

`look` after every step reads what is cheap; `audit` now and then, and after
every crash, reads everything.
"""

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from fraud.errors import Damaged, FraudError
from fraud.eventlog.codec import encode
from fraud.features.fold import FeatureFold
from fraud.features.replay import replay
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule
from fraud.policy.lists import Lists, list_of
from fraud.records import (
    Applied,
    BatchRetracted,
    EntityListed,
    Entry,
    LabelsSubmitted,
    OutcomeReport,
    OutcomesReported,
    Scored,
)
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore
from fraud.serving.feedback import coordinates_of
from fraud.serving.recovery import entries_after
from fraud.serving.server import ScoringProcess

if TYPE_CHECKING:
    from tests.simulation.world import World


class BrokenPromise(AssertionError):
    """A promise does not hold; says which and where."""


def promise(holds: bool, what: str) -> None:
    """Refuse a broken promise."""
    if not holds:
        raise BrokenPromise(what)


def look(world: "World") -> None:
    """Check what is cheap: heads, the ledger's prefix, who serves."""
    with world.disk.watched():
        state = check_ledger(world)
        process = world.process
        clients = world.clients
        head, arrival_us = process.log.head(), process.log.last_arrival_us()
        promise(head >= clients.highest, f"acknowledged: the log ends at {head}, told was {clients.highest}")
        promise(arrival_us >= clients.arrival_us, "arrival times never go down")
        clients.highest, clients.arrival_us = head, arrival_us
        held = process.scorer.state
        if held is not None:
            promise(held.fold.position == head, f"state stands at {held.fold.position}, the log at {head}")
        for model, champion in process.champions.all().items():
            promise(champion.version in state.versions, f"{champion.version} serves and is not registered")
            found = champion.bundle.digest
            promise(state.version(champion.version).digest == found, f"{champion.version} serves other bytes")
            serving = process.follower.serving(model)
            promise(serving == champion.version, f"{champion.version} decides, {serving} was applied")
        for model in world.settings.models:
            serving = process.follower.serving(model)
            if serving and process.champions.get(model) is None:
                lost = state.version(serving).digest not in world.spoilt
                promise(not lost, f"{serving} was applied, and decides no more")


def check_ledger(world: "World") -> RegistryState:
    """Read the ledger as a stranger; what was seen before must be its beginning, and it must fold."""
    store = LedgerStore.open(world.settings.places.ledger, writable=False)
    try:
        store.verify()
        entries = store.read()
    except Damaged as error:
        raise BrokenPromise(f"the ledger's chain: {error}") from error
    finally:
        store.close()
    hashes = {entry.seq: entry.hash for entry in entries}
    for seq, known in world.clients.ledger.items():
        promise(hashes.get(seq) == known, f"the ledger is never rewritten: entry {seq} is not what it was")
    world.clients.ledger.update(hashes)
    times = [entry.time_us for entry in entries]
    promise(times == sorted(times), "times in the ledger never go down")
    try:
        return RegistryState.fold(entries)
    except FraudError as error:
        raise BrokenPromise(f"one champion at any moment: the ledger does not fold: {error}") from error


def audit(world: "World") -> None:
    """Check everything there is."""
    with world.disk.watched():
        process = world.process
        head = process.log.head()
        try:
            entries = list(entries_after(process.log, process.archive, 0, head))
        except Damaged as error:
            raise BrokenPromise(f"positions are gapless to {head}: {error}") from error
        _check_order(entries, head)
        _check_past(world, entries)
        _check_answers(world, entries)
        _check_labels(world, entries)
        _check_outcomes(world, entries)
        _check_listings(world, entries)
        _check_champions(world, entries, check_ledger(world))
        _check_state(process, entries)
        _check_archive(process, entries)
        _check_bundles(world)


def _check_order(entries: list[Entry], head: int) -> None:
    positions = [entry.position for entry in entries]
    promise(positions == list(range(1, head + 1)), f"positions are gapless to {head}")
    arrivals = [entry.arrival_time_us for entry in entries]
    promise(arrivals == sorted(arrivals), "arrival times never go down")


def _check_past(world: "World", entries: list[Entry]) -> None:
    """What was seen in the log stands there as it was: nobody is erased here."""
    digests = []
    for entry in entries:
        kind, body = encode(entry.event)
        digests.append(hashlib.sha256(b"%d %d " % (entry.arrival_time_us, kind) + body).digest())
    for place, (was, now) in enumerate(zip(world.clients.logged, digests, strict=False), 1):
        promise(was == now, f"the log is never rewritten: position {place} is not what it was")
    world.clients.logged = digests


def _check_answers(world: "World", entries: list[Entry]) -> None:
    scored = [entry.event for entry in entries if isinstance(entry.event, Scored)]
    held = {event.transaction_id: event for event in scored}
    promise(len(held) == len(scored), "each transaction stands once in the log")
    promise(held.keys() <= world.clients.sent.keys(), "nothing is logged that nobody sent")
    for name, answer in world.clients.told.items():
        promise(name in held, f"acknowledged is durable: {name} is gone")
        promise(encode(held[name]) == encode(answer), f"same id, same answer: {name} differs")


def _check_labels(world: "World", entries: list[Entry]) -> None:
    clients = world.clients
    events = [entry.event for entry in entries if isinstance(entry.event, LabelsSubmitted)]
    held = {event.batch_id: event for event in events}
    promise(len(held) == len(events), "each batch part stands once in the log")
    for name, batch in clients.taken.items():
        promise(name in held, f"acknowledged is durable: label batch {name} is gone")
        promise(set(held[name].labels) <= set(batch.labels), f"label batch {name} holds what nobody sent")
    unsent = held.keys() - clients.taken.keys() - clients.unsure_batches.keys()
    promise(not unsent, f"label batches {sorted(unsent)} were never sent")
    retracted = [entry.event.batch_id for entry in entries if isinstance(entry.event, BatchRetracted)]
    promise(len(retracted) == len(set(retracted)), "a batch is retracted once")
    promise(clients.retracted <= set(retracted), "acknowledged is durable: a retraction is gone")


def _check_outcomes(world: "World", entries: list[Entry]) -> None:
    held: Counter[OutcomeReport] = Counter()
    for entry in entries:
        if isinstance(entry.event, OutcomesReported):
            held.update(entry.event.reports)
    gone = world.clients.reported - held
    promise(not gone, f"acknowledged is durable: outcomes of {_some_of(gone)} are gone")
    unsent = held - world.clients.sent_reports
    promise(not unsent, f"outcomes of {_some_of(unsent)} stand in the log, and nobody sent them")


def _some_of(reports: Counter[OutcomeReport]) -> list[str]:
    return sorted({report.transaction_id for report in reports})[:3]


def _check_listings(world: "World", entries: list[Entry]) -> None:
    """Listings that were told are there, decide what comes after, and are those in memory."""
    clients, process = world.clients, world.process
    lists = Lists(world.settings.schema_.entity_names)
    held: dict[str, EntityListed] = {}
    for entry in entries:
        event = entry.event
        lists.take(entry)
        if isinstance(event, EntityListed):
            promise(event.reason not in held, f"{event.reason} stands once in the log")
            held[event.reason] = event
        elif isinstance(event, Scored):
            due, rule = lists.deciding(event.surrogates, entry.arrival_time_us), event.decision.rule
            decided = rule if list_of(rule) else ""
            promise(decided == due, f"position {entry.position}: by {decided or 'no list'}, not {due}")
    for name, told in clients.listed.items():
        promise(held.get(name) == told, f"acknowledged is durable: {name} is gone")
    promise(held.keys() <= clients.sent_listings, "nothing is listed that nobody sent")
    state = process.scorer.state
    if state is not None:
        now_us = process.log.last_arrival_us()
        found, folded = list(state.lists.listings(now_us)), list(lists.listings(now_us))
        promise(found == folded, "lists in memory are the fold of the log")


def _check_champions(world: "World", entries: list[Entry], state: RegistryState) -> None:
    """One champion at any moment of the log, and each of them intended by the ledger."""
    applied: dict[str, str] = defaultdict(str)
    reigns = {
        (model, reign.seq): reign.version for model in ("card", "transfer") for reign in state.reigns(model)
    }
    last_seq: dict[str, int] = defaultdict(int)
    for entry in entries:
        event = entry.event
        if isinstance(event, Applied) and event.model:
            promise(event.ledger_seq >= last_seq[event.model], "the ledger is applied in its order")
            last_seq[event.model] = event.ledger_seq
            if not event.refused:
                intended = reigns.get((event.model, event.ledger_seq))
                promise(
                    intended == event.version,
                    f"position {entry.position}: {event.version!r} was applied, the ledger says {intended!r}",
                )
            applied[event.model] = event.version
        elif isinstance(event, Scored):
            version = event.decision.version
            serving = applied[event.model]
            # Its bundle was spoilt by the time of a start, so it could not be loaded and none decides.
            none = version == "" and serving != "" and state.version(serving).digest in world.spoilt
            promise(
                none or version == serving,
                f"position {entry.position}: {version or 'none'} decided while {serving or 'none'} served",
            )


def _check_state(process: ScoringProcess, entries: list[Entry]) -> None:
    """Features as replayed are those logged; state as replayed is the one in memory."""
    rule = ConflictRule.of(process.settings.labels)
    fold = FeatureFold(process.spec, rule)
    known = coordinates_of(
        {entry.event.transaction_id: entry for entry in entries if isinstance(entry.event, Scored)}
    )

    def rebuild(view: View, position: int) -> FeatureFold:
        raise AssertionError(f"position {position}: no transactions are excluded here, but {view.to_text()}")

    for run, features in replay(fold, entries, lambda _: known, rebuild):
        logged = b"".join(entry.event.features for entry in run if isinstance(entry.event, Scored))
        promise(
            np.ascontiguousarray(features, "<f4").tobytes() == logged,
            f"features replay equal: not at positions {run[0].position} to {run[-1].position}",
        )
    fold.advance(entries[-1].position if entries else 0)
    held = process.scorer.state
    if held is not None:
        promise(held.fold.state.equals(fold.state), "state in memory is the fold of the log")
        tokens = sum(1 for _ in process.log.tokens())
        promise(len(held.dictionary) == tokens, "tokens in memory are those of the log")


def _check_archive(process: ScoringProcess, entries: list[Entry]) -> None:
    archive = process.archive
    position = archive.position()
    promise(position <= len(entries), f"the archive stands at {position}, the log at {len(entries)}")
    for name, scan, key in (
        ("transactions", archive.transactions(), ["position"]),
        ("labels", archive.labels(), ["position", "row"]),
        ("outcomes", archive.outcomes(), ["position", "row"]),
        ("listings", archive.listings(), ["position"]),
        ("applied", archive.applied(), ["position"]),
        ("retractions", archive.retractions(), ["position"]),
    ):
        twice = scan.select(key).collect().is_duplicated().sum()
        promise(twice == 0, f"exactly once in the archive: {twice} rows of {name} stand there twice")
    copied = [encode(entry.event) for entry in archive.entries(0, position)]
    logged = [encode(entry.event) for entry in entries[:position]]
    promise(copied == logged, "the archive holds what the log does")
    ids = archive.transactions().select(pl.col("transaction_id").is_duplicated().sum()).collect().item()
    promise(ids == 0, f"each transaction stands once in the archive: {ids} do not")


def _check_bundles(world: "World") -> None:
    """A version that is registered has its bundle, whole, unless the simulation spoilt it."""
    for version in check_ledger(world).versions.values():
        if version.digest in world.spoilt:
            continue
        try:
            world.process.bundles.read(version.digest)
        except FraudError as error:
            raise BrokenPromise(f"registered is durable: {version.version}: {error}") from error
