"""Cuts data out on an operator's word, and says beforehand what that would mean.

selection ─► Exclusion, entity tokens as surrogates
─► how much it holds, which versions learned from it, what would serve instead
─► two-person rule: asked for by another? ─► one ledger entry ─► the reconciler does the rest
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from fraud.archive.archive import Archive
from fraud.errors import InvalidInput, NotFound
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.log import EventLog
from fraud.eventlog.wording import check_wording
from fraud.faults import pass_point
from fraud.features.replay import logged_rows
from fraud.labels.exclusions import FOREVER_US, Exclusion, View
from fraud.records import MISSING_SURROGATE, Scored
from fraud.registry.exclusions import check_in_force, touched_by
from fraud.registry.ledger import RegistryState
from fraud.registry.second_person import Asked
from fraud.registry.view import Registry
from fraud.serving.batcher import Batcher
from fraud.serving.follower import LedgerFollower
from fraud.serving.replacements import Replacements
from fraud.serving.scorer import Scorer
from fraud.serving.second_person import Permit, SecondPerson
from fraud.settings import Settings

_READ_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class SelectionGiven:
    """Which data, as asked for. Times are µs UTC, 0 for an open end; `where`: entity name to token."""

    batch_id: str
    source: str
    submitter: str
    transactions: bool
    from_us: int
    to_us: int
    where: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExclusionPlan:
    """What an exclusion holds and sets in motion; `replacements` are model, from, to.

    To is "" where nothing serves any more, and from itself where the tainted champion serves on.
    """

    data: Exclusion
    first_position: int
    labels: int
    transactions: int
    tainted: tuple[str, ...]
    replacements: tuple[tuple[str, str, str], ...]
    in_force_seq: int
    """The entry that excludes this very data already; 0: none."""


class Excluding:
    """Excludes data of one service; on the event loop."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        scorer: Scorer,
        batcher: Batcher,
        archive: Archive,
        follower: LedgerFollower,
        replacements: Replacements,
        second: SecondPerson,
    ) -> None:
        self._entities = settings.schema_.entity_names
        self._key = EntityKey.of(settings)
        self._sources = settings.labels.sources
        self._models = tuple(settings.models)
        self._registry = registry
        self._scorer = scorer
        self._batcher = batcher
        self._archive = archive
        self._follower = follower
        self._replacements = replacements
        self._second = second
        self._one_by_one = asyncio.Lock()

    async def plan(self, selection: SelectionGiven) -> ExclusionPlan:
        """Return what the exclusion would do; nothing is changed.

        Raises:
            InvalidInput: the selection is empty, contradicts itself or names something unknown.
            NotFound: an entity was never seen, or the selection holds nothing.
        """
        data = await self._read(selection)
        return await asyncio.to_thread(self._plan, data)

    async def carry_out(
        self, selection: SelectionGiven, *, actor: str, reason: str, retrain: bool
    ) -> tuple[int, ExclusionPlan, Asked | None]:
        """Exclude the data; return the ledger entry and what it set in motion, or what was asked for instead.

        On return tainted champions no longer serve, unless one is kept for want of
        a clean one (`no_clean_champion`), and the feature state no
        longer counts excluded labels; excluded transactions leave it as soon as
        it is rebuilt, which is not waited for.

        What an entry in force excludes already is answered with that entry, and nothing is done: a
        call whose answer was lost may be repeated.

        Raises:
            InvalidInput: as `plan`, or actor or reason holds a token of the selection.
            NotFound: as `plan`.
        """
        check_wording(selection.where.values(), actor=actor, reason=reason)
        # A repeated call may overtake the first: between looking and recording no other comes.
        async with self._one_by_one:
            return await self._carry_out(await self.plan(selection), actor, reason, retrain=retrain)

    async def _carry_out(
        self, plan: ExclusionPlan, actor: str, reason: str, *, retrain: bool
    ) -> tuple[int, ExclusionPlan, Asked | None]:
        if plan.in_force_seq:
            return plan.in_force_seq, plan, None
        replaced = [list(it) for it in plan.replacements]
        what = {"exclusion": plan.data.to_dict(), "retrain": retrain, "replaces": replaced}
        permit = await asyncio.to_thread(self._second.permit, "ExcludeData", what, actor=actor, reason=reason)
        if permit.waiting is not None:
            return 0, plan, permit.waiting
        body = {
            "exclusion": plan.data.to_dict(),
            "first_position": plan.first_position,
            "labels": plan.labels,
            "transactions": plan.transactions,
            "muted": False,
            "retrain": retrain,
            **permit.body,
        }
        seq = await self._append("DataExcluded", body, actor, reason)
        pass_point("exclusion.recorded")
        await self._follower.poll(self._batcher)
        return seq, plan, None

    async def undo(self, seq: int, *, actor: str, reason: str) -> tuple[int, Asked | None]:
        """Let excluded data count again; return the ledger entry, or what was asked for instead.

        It takes two people where excluding the data did: ExcludeData, or a Rollback that muted it.

        Raises:
            NotFound: that entry excludes nothing.
            NotAllowedNow: it was undone before.
        """
        permit = await asyncio.to_thread(self._permit_undo, seq, actor, reason)
        if permit.waiting is not None:
            return 0, permit.waiting
        body = {"exclusion": seq, **permit.body}
        entry_seq = await self._append("ExclusionUndone", body, actor, reason)
        await self._follower.poll(self._batcher)
        return entry_seq, None

    def _permit_undo(self, seq: int, actor: str, reason: str) -> Permit:
        exclusion = self._registry.refresh().exclusion(seq)
        check_in_force(exclusion)
        as_for = ("Rollback", "ExcludeData") if exclusion.muted else ("ExcludeData",)
        return self._second.permit(
            "UndoExclusion", {"exclusion": seq}, actor=actor, reason=reason, as_for=as_for
        )

    async def _append(self, kind: str, body: dict[str, object], actor: str, reason: str) -> int:
        def append() -> int:
            entry = self._registry.store.append(
                kind, body, actor=actor, reason=reason, time_us=self._scorer.now_us()
            )
            return entry.seq

        return await asyncio.to_thread(append)

    async def _read(self, given: SelectionGiven) -> Exclusion:
        if given.source and given.source not in self._sources:
            raise InvalidInput(
                "source", f"{given.source!r} is not configured", f"send one of: {', '.join(self._sources)}"
            )
        where = []
        for entity, token in given.where.items():
            if entity not in self._entities:
                raise InvalidInput(
                    f"where.{entity}",
                    "is no entity",
                    f"send one of: {', '.join(self._entities)}",
                    place="where",
                )
            surrogate = await self._batcher.run(partial(self._surrogate, entity, token))
            where.append((entity, surrogate))
        return Exclusion(
            "transactions" if given.transactions else "labels",
            given.batch_id,
            given.source,
            given.submitter,
            given.from_us,
            given.to_us or FOREVER_US,
            tuple(where),
        )

    def _surrogate(self, entity: str, token: str) -> int:
        place, stored = self._entities.index(entity), self._key.stored(entity, token)
        found = self._scorer.state_now().dictionary.surrogate_of(place, stored)
        if found == MISSING_SURROGATE:
            raise NotFound(f"where.{entity}: no transaction of this {entity} is known; check the token")
        return found

    def _plan(self, data: Exclusion) -> ExclusionPlan:
        labels = transactions = 0
        if data.what == "labels":
            labels, first = labels_of(self._scorer.log, data)
        else:
            transactions, first = transactions_of(self._scorer.log, self._archive, data, self._entities)
        if not labels and not transactions:
            raise NotFound("the selection holds nothing; see 'fraud label batches' for what came in")
        state = self._registry.refresh()
        tainted = touched_by(state, data, first)
        return ExclusionPlan(
            data,
            first,
            labels,
            transactions,
            tuple(sorted(tainted)),
            self._replaced(state, tainted),
            _in_force_seq(state, data),
        )

    def _replaced(self, state: RegistryState, tainted: set[str]) -> tuple[tuple[str, str, str], ...]:
        found = []
        for model in self._models:
            champion = state.champion(model)
            if champion in tainted:
                clean = [version for version in state.clean_champions(model) if version not in tainted]
                found.append((model, champion, self._replacements.of(model, clean, state)))
        return tuple(found)


def _in_force_seq(state: RegistryState, data: Exclusion) -> int:
    """Return the entry that excludes just this; one that mutes does not, for it condemns no version."""
    found = (
        it.seq for it in list(state.exclusions.values()) if it.in_force and not it.muted and it.data == data
    )
    return next(found, 0)


def labels_of(log: EventLog, data: Exclusion) -> tuple[int, int]:
    """Return how many labels are among the data, and the position of the first."""
    found = [
        batch
        for batch in log.batches(data.from_us, data.source, 0, 2**31)
        if data.hides_label(batch.batch_id, batch.source, batch.submitter, batch.arrival_time_us)
    ]
    return sum(batch.labels for batch in found), min((it.position for it in found), default=0)


def transactions_of(
    log: EventLog, archive: Archive, data: Exclusion, entities: tuple[str, ...]
) -> tuple[int, int]:
    """Return how many transactions are among the data, and the position of the first."""
    archived = archive.position()
    with archive.reading():
        counted = (
            archive.transactions(archived)
            .filter(data.transaction_rows())
            .select(pl.len().alias("rows"), pl.col("position").min())
            .collect()
        )
    rows, first = counted.row(0)
    view = View((data,))
    while archived < log.head():
        entries = log.read(archived, _READ_ROWS)
        archived = entries[-1].position if entries else log.head()
        scored = [entry for entry in entries if isinstance(entry.event, Scored)]
        if not scored:
            continue
        found = [entry.event for entry in scored if isinstance(entry.event, Scored)]
        columns = logged_rows(found, len(entities))
        hidden = view.hidden_rows(columns.event_time_us, columns.surrogates, entities)
        if hidden is not None:
            rows += int(hidden.sum())
            first = first or scored[int(hidden.argmax())].position
    return rows, first or 0
