"""Tokens of entities to the surrogates that stand for them in logs and state."""

from collections.abc import Iterable, Mapping

from fraud.eventlog.log import NewToken
from fraud.records import MISSING_SURROGATE


class EntityDictionary:
    """Assigns dense surrogates from 0 up, per entity. Owned by the scoring thread.

    A surrogate counts only once the log holds it: `take_new` hands over what
    was assigned since the last call, for the same append as the rows that use it.
    A token that was forgotten and comes again gets another surrogate; no
    surrogate ever stands for two, so those forgotten leave gaps.
    """

    def __init__(
        self, entities: int, known: Iterable[NewToken] = (), next_surrogates: Mapping[int, int] | None = None
    ) -> None:
        """Take over `known` tokens, and by entity index the lowest surrogates never given."""
        self._surrogates: list[dict[str, int]] = [{} for _ in range(entities)]
        self._next = [0] * entities
        self._new: list[NewToken] = []
        for token in known:
            self._surrogates[token.entity_index][token.token] = token.surrogate
            self._next[token.entity_index] = max(self._next[token.entity_index], token.surrogate + 1)
        for entity, surrogate in (next_surrogates or {}).items():
            self._next[entity] = max(self._next[entity], surrogate)

    def surrogates(self, tokens: tuple[str | None, ...]) -> tuple[int, ...]:
        """Return the surrogates of a row's tokens, new ones assigned; -1 for None."""
        row = []
        for entity, token in enumerate(tokens):
            if token is None:
                row.append(MISSING_SURROGATE)
                continue
            known = self._surrogates[entity]
            surrogate = known.get(token)
            if surrogate is None:
                surrogate = known[token] = self._next[entity]
                self._next[entity] = surrogate + 1
                self._new.append(NewToken(entity, surrogate, token))
            row.append(surrogate)
        return tuple(row)

    def surrogate_of(self, entity: int, token: str) -> int:
        """Return the surrogate of one token, `MISSING_SURROGATE` for one that never came; assigns none."""
        return self._surrogates[entity].get(token, MISSING_SURROGATE)

    def peek(self, tokens: tuple[str | None, ...]) -> tuple[int, ...]:
        """Return the surrogates of a row's tokens without assigning any; -1 where unknown."""
        return tuple(
            MISSING_SURROGATE if token is None else self._surrogates[entity].get(token, MISSING_SURROGATE)
            for entity, token in enumerate(tokens)
        )

    def forget(self, tokens: Iterable[NewToken]) -> None:
        """Let tokens go; their surrogates stay taken."""
        for token in tokens:
            self._surrogates[token.entity_index].pop(token.token, None)

    def take_new(self) -> list[NewToken]:
        """Return what was assigned since the last call."""
        new, self._new = self._new, []
        return new

    def __len__(self) -> int:
        return sum(len(known) for known in self._surrogates)
