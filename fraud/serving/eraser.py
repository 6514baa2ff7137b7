"""Erases a person from the data folder, and goes on with it after a crash.

    1  tokens out of the dictionary, erasure noted     log, one transaction, on the scoring thread
    2  what the log holds up to there is archived      so nothing older can be copied any more
    3  entries of the log blanked
    4  rows of the archive blanked
    5  old pages and old files deleted                 waits for readers of the archive
    6  EntityErased                                    ledger
    7  note taken away                                 log

From step 1 on the token is nowhere, and the entity's next transaction gets
another surrogate. Every later step finds what it needs by surrogate and may be
repeated, so an erasure that was broken off is simply run again: by the next
scorer at its start, and by this one every `RETRY_S`.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from fraud.archive.archive import Archive
from fraud.archive.erasure import Linked, Traces
from fraud.errors import FraudError, InvalidInput, NotFound
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.log import Erasure, EventLog
from fraud.eventlog.wording import check_wording
from fraud.faults import pass_point
from fraud.records import MISSING_SURROGATE, Scored
from fraud.registry.chain import LedgerEntry
from fraud.registry.view import Registry
from fraud.serving.batcher import Batcher
from fraud.serving.scorer import Scorer
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.eraser")
Result = TypeVar("Result")
WAIT_S = 5.0
"""How long an erasure waits for readers before it is answered as not complete."""
ANSWER_S = 20.0
"""By then a call is answered, and the erasure goes on without it."""
RETRY_S = 2.0
_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What an erasure holds, and how far it has come; counts are of what there was to blank.

    `waiting_for` says why it is not complete, "" where it is or was not begun.
    """

    entity: str
    surrogate: int
    transactions: int
    fields: int
    comments: int
    linked: tuple[Linked, ...]
    complete: bool = False
    waiting_for: str = ""
    ledger_seq: int = 0
    repeated: bool = False
    since: int = 0
    """Of a plan: a position before it was made."""
    later: Mapping[int, int] = field(default_factory=dict)
    """And the lowest surrogate that was not given then, by entity index."""


class Eraser:
    """Erases entities of one service: asked on the event loop, at work on a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        archive: Archive,
        registry: Registry,
        scorer: Scorer,
        batcher: Batcher,
    ) -> None:
        schema = settings.schema_
        self._entities = schema.entity_names
        self._personal_entities = tuple(name for name, it in schema.entities.items() if it.personal)
        self._fields = schema.personal_names
        self._field_indexes = [schema.categorical_names.index(name) for name in self._fields]
        self._key = EntityKey.of(settings)
        self._log = log
        self._archive = archive
        self._registry = registry
        self._scorer = scorer
        self._batcher = batcher
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="erasing")
        self._under_way: dict[tuple[int, int], str] = {it.key: "its turn" for it in log.erasures()}
        self._tried_at = -RETRY_S
        self._task: asyncio.Task[None] | None = None
        # Only to recognise a token that this process has erased when it is named again.
        self._salt = os.urandom(16)
        self._erased_here: dict[bytes, int] = {}

    async def plan(self, entity: str, token: str) -> ErasureReport:
        """Return what an erasure would do, or did when this process has erased the token; changes nothing.

        Raises:
            InvalidInput: there is no such entity.
            NotFound: the token is not known.
        """
        surrogate, erased = await self._find(entity, token)
        if erased:
            return await self.ask(entity, surrogate)
        return await self._work(self._plan, entity, surrogate)

    async def erase(self, entity: str, token: str, *, actor: str, reason: str) -> ErasureReport:
        """Erase the entity with this token: on return it is done, or goes on by itself.

        Raises:
            InvalidInput: there is no such entity, or actor or reason holds the token.
            NotFound: the token is not known.
            Unavailable: nothing was begun.
        """
        check_wording([token], actor=actor, reason=reason)
        surrogate, erased = await self._find(entity, token)
        if erased:
            return await self.ask(entity, surrogate)
        plan = await self._work(self._plan, entity, surrogate)
        erasure = await self._batcher.run(lambda: self._begin(plan, actor, reason))
        self._erased_here[self._fingerprint(entity, token)] = surrogate
        work = asyncio.ensure_future(self._work(self._finish, erasure, WAIT_S))
        await asyncio.wait([work], timeout=ANSWER_S)
        return await self.ask(entity, surrogate, repeated=False)

    async def ask(self, entity: str, surrogate: int, *, repeated: bool = True) -> ErasureReport:
        """Return how far the erasure of an entity has come.

        Raises:
            InvalidInput: there is no such entity.
            NotFound: it was never begun.
        """
        key = (self._index(entity), surrogate)
        # The note goes after the entry has come, so looking in this order one of them is seen.
        notes = await asyncio.to_thread(self._log.erasures)
        note = next((it for it in notes if it.key == key), None)
        since_us = note.time_us if note else 0
        entry = await asyncio.to_thread(self._recorded, entity, surrogate, since_us)
        if entry is not None:
            return _of_entry(entry, repeated=repeated)
        if note is not None:
            return self._of_note(note, self._under_way.get(key) or "its turn")
        raise NotFound(f"entity {entity!r}: no erasure of surrogate {surrogate} was begun")

    def tend(self) -> None:
        """Go on with what was broken off or waits; returns at once."""
        at_work = self._task is not None and not self._task.done()
        if self._under_way and not at_work and time.monotonic() - self._tried_at >= RETRY_S:
            self._tried_at = time.monotonic()
            self._task = asyncio.ensure_future(self._work(self._go_on))

    def close(self) -> None:
        """Finish the step at work and stop; the next scorer goes on."""
        self._worker.shutdown(cancel_futures=True)

    async def _work(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call, *arguments)

    def _index(self, entity: str) -> int:
        if entity not in self._entities:
            known = ", ".join(self._entities)
            raise InvalidInput("entity", f"{entity!r} is not in the schema", f"give one of: {known}")
        return self._entities.index(entity)

    def _fingerprint(self, entity: str, token: str) -> bytes:
        return hashlib.blake2b(f"{entity} {token}".encode(), key=self._salt).digest()

    async def _find(self, entity: str, token: str) -> tuple[int, bool]:
        """Return the surrogate of a token, and whether this process has erased it already."""
        index = self._index(entity)
        try:
            return await self._batcher.run(lambda: self._surrogate(index, token)), False
        except NotFound:
            erased = self._erased_here.get(self._fingerprint(entity, token))
            if erased is None:
                raise
            return erased, True

    def _surrogate(self, index: int, token: str) -> int:
        """Return what stands for a token; on the scoring thread."""
        state = self._scorer.state_now()
        surrogate = state.dictionary.surrogate_of(index, self._key.stored(self._entities[index], token))
        if surrogate == MISSING_SURROGATE:
            # The message names no token: it goes into the log of the server.
            raise NotFound(
                f"entity {self._entities[index]!r} has no such token: it never came in, or it was erased "
                "before; nothing was changed"
            )
        return surrogate

    def _plan(self, entity: str, surrogate: int) -> ErasureReport:
        # In this order: what is later has all its payments behind `since`, and what is not is archived now.
        since, later = self._log.head(), self._log.next_surrogates()
        self._archive.copy_from(self._log)
        upto = self._archive.position()
        traces = self._archive.traces(entity, surrogate, upto, self._fields)
        others = [name for name in self._personal_entities if name != entity]
        linked = tuple(self._archive.linked(entity, surrogate, others, self._gone(entity)))
        counts = len(traces.transactions), traces.fields, len(traces.comments)
        return ErasureReport(entity, surrogate, *counts, linked, since=since, later=later)

    def _gone(self, entity: str) -> list[int]:
        """Return the surrogates of an entity that were erased, or are being: they are nobody."""
        index = self._index(entity)
        under_way = (key for it in self._log.erasures() for key in (it.key, *it.linked))
        recorded = (number for name, number in self._registry.refresh().erased if name == entity)
        return [*recorded, *(number for place, number in under_way if place == index)]

    def _begin(self, plan: ErasureReport, actor: str, reason: str) -> Erasure:
        """Take the tokens away; on the scoring thread, so nothing is scored in between."""
        state = self._scorer.state_now()
        erasure = Erasure(
            self._index(plan.entity),
            plan.surrogate,
            self._log.head(),
            self._scorer.now_us(),
            actor,
            reason,
            self._own(plan),
            plan.transactions,
            plan.fields,
            plan.comments,
        )
        state.dictionary.forget(self._log.begin_erasure(erasure))
        self._under_way[erasure.key] = "the scorer is at work on it"
        pass_point("erasure.begun")
        return erasure

    def _own(self, plan: ErasureReport) -> tuple[tuple[int, int], ...]:
        """Return the personal entities, by place and number, that nobody else has paid with up to now.

        To those of the plan come those that the person has paid with since for the first time.
        """
        place = self._index(plan.entity)
        personal = {self._index(name) for name in self._personal_entities} - {place}
        own = {(self._index(it.entity), number) for it in plan.linked for number in it.own}
        shared: set[tuple[int, int]] = set()
        after = plan.since
        while personal and (entries := self._log.read(after, _ROWS)):
            after = entries[-1].position
            for event in (entry.event for entry in entries):
                if not isinstance(event, Scored):
                    continue
                paid = {(it, event.surrogates[it]) for it in personal}
                if event.surrogates[place] == plan.surrogate:
                    own |= {(it, number) for it, number in paid if number >= plan.later.get(it, 0)}
                else:
                    shared |= paid
        return tuple(sorted(own - shared))

    def _go_on(self) -> None:
        for erasure in self._log.erasures():
            self._finish(erasure, 0.0)

    def _finish(self, erasure: Erasure, wait_s: float) -> None:
        """Do steps 2 to 7; what prevents one is noted, and it is tried again later."""
        try:
            self._do(erasure, wait_s)
            self._under_way.pop(erasure.key, None)
        except FraudError as error:
            self._under_way[erasure.key] = str(error)
            _log.warning("erasure not complete", surrogate=erasure.surrogate, why=error)
        except Exception as error:  # noqa: BLE001 — what else is erased must not wait for it
            self._under_way[erasure.key] = f"{type(error).__name__}; see the log of the scorer"
            _log.exception("erasure not complete", surrogate=erasure.surrogate)

    def _do(self, erasure: Erasure, wait_s: float) -> None:
        entity, upto = self._entities[erasure.entity_index], erasure.upto
        self._archive.copy_from(self._log, upto=upto)
        traces = self._archive.traces(entity, erasure.surrogate, upto, self._fields)
        held = self._log.first()
        positions = [at for at in (*traces.transactions, *traces.labels) if at >= held]
        self._log.erase(positions, self._field_indexes, traces.ids)
        pass_point("erasure.log_blanked")
        self._archive.erase(entity, erasure.surrogate, upto, self._fields, traces)
        pass_point("erasure.archive_blanked")
        self._log.scrub(wait_s)
        self._archive.drop_old_files(wait_s)
        pass_point("erasure.files_dropped")
        self._record(erasure, entity, traces)
        pass_point("erasure.recorded")
        self._log.finish_erasure(erasure)
        _log.info("erased", entity=entity, surrogate=erasure.surrogate)

    def _recorded(self, entity: str, surrogate: int, since_us: int) -> LedgerEntry | None:
        """Return the entry of an erasure begun at `since_us`; an older one is about a log restored since."""
        entry = self._registry.refresh().erased.get((entity, surrogate))
        return entry if entry is not None and entry.time_us >= since_us else None

    def _record(self, erasure: Erasure, entity: str, traces: Traces) -> None:
        if self._recorded(entity, erasure.surrogate, erasure.time_us) is not None:
            return
        linked: dict[str, list[int]] = {}
        for index, number in erasure.linked:
            linked.setdefault(self._entities[index], []).append(number)
        body = {
            "entity": entity,
            "surrogate": erasure.surrogate,
            "transactions": len(traces.transactions),
            # What was blanked before a crash is not found again; what came since the plan is.
            "fields": max(erasure.fields, traces.fields),
            "comments": max(erasure.comments, len(traces.comments)),
            "linked": linked,
        }
        self._registry.store.append(
            "EntityErased", body, actor=erasure.actor, reason=erasure.reason, time_us=self._scorer.now_us()
        )

    def _of_note(self, erasure: Erasure, waiting_for: str) -> ErasureReport:
        own: dict[str, list[int]] = {}
        for index, number in erasure.linked:
            own.setdefault(self._entities[index], []).append(number)
        linked = tuple(Linked(name, tuple(numbers), 0) for name, numbers in own.items())
        entity = self._entities[erasure.entity_index]
        counts = erasure.transactions, erasure.fields, erasure.comments
        return ErasureReport(entity, erasure.surrogate, *counts, linked, waiting_for=waiting_for)


def _of_entry(entry: LedgerEntry, *, repeated: bool) -> ErasureReport:
    body = entry.body
    linked = tuple(Linked(name, tuple(numbers), 0) for name, numbers in body["linked"].items())
    counts = body["transactions"], body["fields"], body["comments"]
    return ErasureReport(body["entity"], body["surrogate"], *counts, linked, True, "", entry.seq, repeated)
