"""Which data must not be learned from, and what is left of it to see.

    Exclusion   labels of a batch, source, submitter, span of arrival
                or transactions of a span of event time, of some entities
    View        all exclusions in force; what none of them hides counts

The same view hides facts from the feature state (one by one) and rows from a
training set (as filters of a table); a test holds both against each other. A
view is spelled as text in the event log, so a replay needs nothing else.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.documents import read_json
from fraud.errors import Damaged, InvalidInput

FOREVER_US = 2**63 - 1
"""End of an open span."""
What = Literal["labels", "transactions"]
ALL = "all"
"""How a view that hides nothing is spelled."""


@dataclass(frozen=True, slots=True, order=True)
class Exclusion:
    """Data that must not be learned from: everything that meets all that is given.

    Labels are chosen by `batch_id`, `source` and `submitter` ("" for any) and
    by arrival in `[from_us, to_us)`; transactions by event time in the same
    bounds and by `where`: pairs of entity name and surrogate. µs UTC.

    Raises:
        InvalidInput: nothing is chosen, the span is empty, or a key does not go with `what`.
    """

    what: What
    batch_id: str = ""
    source: str = ""
    submitter: str = ""
    from_us: int = 0
    to_us: int = FOREVER_US
    where: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.from_us >= self.to_us:
            raise InvalidInput("to", "is not after from", "give a span that holds at least a moment")
        bounded = self.from_us > 0 or self.to_us < FOREVER_US
        by_label = self.batch_id or self.source or self.submitter
        if self.what == "transactions":
            if by_label:
                raise InvalidInput(
                    "transactions",
                    "come with a batch, source or submitter",
                    "exclude labels or transactions, one at a time",
                )
            if not bounded:
                raise InvalidInput("from, to", "are not given", "bound the span of transactions")
        elif self.where:
            raise InvalidInput("where", "goes with transactions only", "leave it out")
        elif not by_label and not bounded:
            raise InvalidInput(
                "selection", "is empty", "name a batch, a source, a submitter, or a span of time"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the exclusion as JSON values; what is not given is left out."""
        document = {name: value for name, value in asdict(self).items() if value}
        if self.to_us == FOREVER_US:
            del document["to_us"]
        if self.where:
            document["where"] = [list(pair) for pair in self.where]
        return document

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            TypeError, ValueError: it is something else.
            InvalidInput: as for an exclusion that is made.
        """
        if not isinstance(document, dict):
            raise TypeError(f"{str(document)[:40]!r} is no exclusion")
        if document.get("what") not in get_args(What):
            raise ValueError("what is neither labels nor transactions")
        texts = [document.get(name, "") for name in ("batch_id", "source", "submitter")]
        where = tuple((name, surrogate) for name, surrogate in document.get("where", ()))
        numbers = [document.get("from_us", 0), document.get("to_us", FOREVER_US), *(it[1] for it in where)]
        if not all(isinstance(text, str) for text in (*texts, *(it[0] for it in where))):
            raise TypeError("a text of it is none")
        # 1e999 is a number in JSON, and no time and no surrogate.
        if not all(type(number) is int and abs(number) <= FOREVER_US for number in numbers):
            raise ValueError("a time or surrogate of it is no integer of 64 bits")
        return cls(**{**document, "where": where})

    def hides_label(self, batch_id: str, source: str, submitter: str, arrival_us: int) -> bool:
        """Tell whether a label is among the data."""
        return self.overlaps_batch(batch_id, source, submitter, arrival_us, arrival_us)

    def overlaps_batch(self, batch_id: str, source: str, submitter: str, first_us: int, last_us: int) -> bool:
        """Tell whether labels of a batch that arrived from `first_us` to `last_us` may be among the data."""
        return (
            self.what == "labels"
            and self.batch_id in ("", batch_id)
            and self.source in ("", source)
            and self.submitter in ("", submitter)
            and self.from_us <= last_us
            and first_us < self.to_us
        )

    def covers(self, other: "Exclusion") -> bool:
        """Tell whether everything that is among another's data is among this one's too.

        >>> Exclusion("labels", source="bank").covers(Exclusion("labels", source="bank", batch_id="b1"))
        True
        """
        return (
            self.what == other.what
            and self.batch_id in ("", other.batch_id)
            and self.source in ("", other.source)
            and self.submitter in ("", other.submitter)
            and self.from_us <= other.from_us
            and other.to_us <= self.to_us
            and set(self.where) <= set(other.where)
        )

    def overlaps(self, other: "Exclusion") -> bool:
        """Tell whether some of another's data may be among this one's, too.

        >>> Exclusion("labels", source="bank").overlaps(Exclusion("labels", submitter="joe"))
        True
        >>> Exclusion("labels", source="bank").overlaps(Exclusion("labels", source="analyst"))
        False
        """
        texts = ((getattr(self, name), getattr(other, name)) for name in ("batch_id", "source", "submitter"))
        mine, others = dict(self.where), dict(other.where)
        return (
            self.what == other.what
            and all(not one or not another or one == another for one, another in texts)
            and max(self.from_us, other.from_us) < min(self.to_us, other.to_us)
            and all(mine[entity] == others[entity] for entity in mine.keys() & others.keys())
        )

    def label_rows(self) -> pl.Expr:
        """Return the filter of the rows that are among the data; on a table of labels."""
        rows = pl.col("arrival_time_us").is_between(self.from_us, self.to_us, closed="left")
        for name in ("batch_id", "source", "submitter"):
            wanted = getattr(self, name)
            if wanted:
                rows &= pl.col(name) == wanted
        return rows

    def transaction_rows(self) -> pl.Expr:
        """Return the filter of the rows that are among the data; on a table of transactions."""
        rows = pl.col("event_time_us").is_between(self.from_us, self.to_us, closed="left")
        for entity, surrogate in self.where:
            rows &= (pl.col(f"entity_{entity}") == surrogate).fill_null(value=False)
        return rows


@dataclass(frozen=True)
class View:
    """What counts: everything that no exclusion in force hides. Equal views hide the same."""

    exclusions: tuple[Exclusion, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "exclusions", tuple(sorted(set(self.exclusions))))

    @cached_property
    def labels(self) -> tuple[Exclusion, ...]:
        """The exclusions of labels."""
        return tuple(exclusion for exclusion in self.exclusions if exclusion.what == "labels")

    @cached_property
    def transactions(self) -> tuple[Exclusion, ...]:
        """The exclusions of transactions."""
        return tuple(exclusion for exclusion in self.exclusions if exclusion.what == "transactions")

    def with_(self, more: Sequence[Exclusion]) -> "View":
        """Return the view that hides more."""
        return View((*self.exclusions, *more))

    def to_text(self) -> str:
        """Spell the view: "all", or its exclusions as JSON; equal views are spelled alike.

        >>> View().to_text()
        'all'
        >>> View((Exclusion("labels", batch_id="b1"),)).to_text()
        '[{"batch_id":"b1","what":"labels"}]'
        """
        if not self.exclusions:
            return ALL
        documents = [exclusion.to_dict() for exclusion in self.exclusions]
        return json.dumps(documents, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote.

        Raises:
            Damaged: it is something else.
        """
        if text in (ALL, ""):
            return cls()
        try:
            documents = read_json(text)
            if not isinstance(documents, list):
                raise TypeError("it is no list")
            return cls(tuple(Exclusion.from_dict(document) for document in documents))
        except (ValueError, TypeError, KeyError, InvalidInput) as error:
            raise Damaged(
                f"label view {text[:80]!r} cannot be read ({error}); restore what it stands in from a copy"
            ) from error

    def hides_label(self, batch_id: str, source: str, submitter: str, arrival_us: int) -> bool:
        """Tell whether a label does not count."""
        return any(it.hides_label(batch_id, source, submitter, arrival_us) for it in self.labels)

    def hidden_rows(
        self, event_time_us: NDArray[np.int64], surrogates: NDArray[np.int32], entity_names: Sequence[str]
    ) -> NDArray[np.bool_] | None:
        """Tell for each transaction whether it does not count, bool[n]; None when all do.

        `surrogates` is int32[n, E], columns in the order of `entity_names`.

        Raises:
            Damaged: an exclusion names an entity that is not among `entity_names`.
        """
        if not self.transactions:
            return None
        hidden = np.zeros(len(event_time_us), np.bool_)
        for exclusion in self.transactions:
            rows = (event_time_us >= exclusion.from_us) & (event_time_us < exclusion.to_us)
            for entity, surrogate in exclusion.where:
                if entity not in entity_names:
                    raise Damaged(
                        f"label view: excludes by {entity!r}, which is no entity of the schema; "
                        "restore what it stands in from a copy"
                    )
                rows &= surrogates[:, entity_names.index(entity)] == surrogate
            hidden |= rows
        return hidden if hidden.any() else None

    def visible_labels(self, labels: pl.LazyFrame) -> pl.LazyFrame:
        """Leave out the labels that do not count; columns as the archive's labels."""
        for exclusion in self.labels:
            labels = labels.filter(~exclusion.label_rows())
        return labels

    def visible_transactions(self, transactions: pl.LazyFrame) -> pl.LazyFrame:
        """Leave out the transactions that do not count; columns as the archive's transactions."""
        for exclusion in self.transactions:
            transactions = transactions.filter(~exclusion.transaction_rows())
        return transactions


EVERYTHING = View()
"""The view that hides nothing."""
