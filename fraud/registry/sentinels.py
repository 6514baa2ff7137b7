"""Sentinels in the ledger: frozen sets of confirmed frauds, one for each pattern of a model.

    SentinelAdded     model pattern transaction_ids positions source champion caught
    SentinelRetired   model pattern

A set never changes: more frauds of a pattern make a new pattern ("amount-2"),
and the name of a retired one is not used again, so a check that names a pattern
means the same frauds in every verdict. A fraud stands in one set at most.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fraud.errors import Conflict, InvalidInput, NotFound
from fraud.registry.chain import LedgerEntry

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState

_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class SentinelSet:
    """The frauds of one pattern: `positions` in the log, in the order of `transaction_ids`.

    `caught` is the share of them, 0..1, that `champion`, the one of the moment
    the set was added, alerts on; None and "" when there was none.
    """

    model: str
    pattern: str
    transaction_ids: tuple[str, ...]
    positions: tuple[int, ...]
    source: str
    champion: str
    caught: float | None
    added_us: int
    actor: str
    reason: str

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def caught_rows(self) -> int | None:
        """How many of them that champion alerts on."""
        return None if self.caught is None else round(self.caught * len(self))


def sentinel_ids(sets: Iterable[SentinelSet]) -> frozenset[str]:
    """Return the ids of every transaction in the sets: those that are never learned from."""
    return frozenset(transaction_id for each in sets for transaction_id in each.transaction_ids)


def check_pattern(pattern: str) -> None:
    """Refuse what is no name of a pattern.

    Raises:
        InvalidInput: it is none.
    """
    if not _PATTERN.fullmatch(pattern):
        raise InvalidInput(
            "pattern", f"{pattern!r} is no name", "use 1 to 40 of a-z, 0-9, _ and -, a letter first"
        )


def check_new(state: "RegistryState", model: str, pattern: str) -> None:
    """Refuse a pattern that a model has or had.

    Raises:
        Conflict: it is taken.
        InvalidInput: it is no name.
    """
    check_pattern(pattern)
    for sets, what in ((state.sentinels, "frozen"), (state.retired_sentinels, "retired")):
        if (model, pattern) in sets:
            raise Conflict(
                f"the sentinels {pattern!r} of {model!r} are {what}; choose a new pattern name, "
                f"like {next_name(state, model, pattern)!r}"
            )


def next_name(state: "RegistryState", model: str, pattern: str) -> str:
    """Return a name like `pattern` that the model neither has nor had."""
    stem = re.sub(r"-[0-9]+$", "", pattern)[:35]
    taken = {name for of, name in (*state.sentinels, *state.retired_sentinels) if of == model}
    return next(name for name in (f"{stem}-{n}" for n in range(2, len(taken) + 3)) if name not in taken)


def _added(state: "RegistryState", entry: LedgerEntry) -> None:
    body = entry.body
    new = SentinelSet(
        model=body["model"],
        pattern=body["pattern"],
        transaction_ids=tuple(body["transaction_ids"]),
        positions=tuple(body["positions"]),
        source=body["source"],
        champion=body["champion"],
        caught=body["caught"],
        added_us=entry.time_us,
        actor=entry.actor,
        reason=entry.reason,
    )
    check_new(state, new.model, new.pattern)
    _check_rows(new)
    taken = sentinel_ids(state.sentinels.values()).intersection(new.transaction_ids)
    if taken:
        raise Conflict(f"{len(taken)} are sentinels already, such as {min(taken)!r}; leave them out")
    state.sentinels[new.model, new.pattern] = new


def _check_rows(new: SentinelSet) -> None:
    lists = (new.transaction_ids, new.positions)
    if not len(new) or len({len(each) for each in lists} | {len(set(each)) for each in lists}) > 1:
        raise InvalidInput(
            "body.transaction_ids, positions",
            "are empty, differ in length, or repeat something",
            "give every transaction once, with its own position",
        )
    if (new.caught is None) == bool(new.champion) or not 0 <= (new.caught or 0) <= 1:
        given = f"{new.caught} by {new.champion or 'no champion'}"
        raise InvalidInput("body.caught", f"is {given}", "give a share from 0 to 1, null without a champion")


def _retired(state: "RegistryState", entry: LedgerEntry) -> None:
    key = entry.body["model"], entry.body["pattern"]
    if key not in state.sentinels:
        raise NotFound(f"{key[0]!r} has no sentinels {key[1]!r}; 'fraud sentinel list' shows those there are")
    state.retired_sentinels[key] = state.sentinels.pop(key)


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {
    "SentinelAdded": _added,
    "SentinelRetired": _retired,
}
