"""Payments tried on the feature state without leaving a trace.

    state at a position ─ peek: rows that do not see each other
                        └ inside `undone`: rows that do, folded, then taken back

An attack of several payments is seen by the velocity features of its own later ones,
declined ones included: everything that is scored is folded. What a fold touches is the
rows of the payment's entities and the marks, so a copy of those is all that has to be
put back; the state is the very one that replay gives. An entity never seen gets a row
beyond the marks, another in each fold: such rows are emptied. A copy, a moment, may also be
set into an empty state later: whoever attacks the same frauds again folds no past. A payment
that waits is read from the state of the fraud's own moment: what honest people pay meanwhile
is not in it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.payment import UNSEEN, Payment, rows_of
from fraud.features.state import FeatureState, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What some payments can read or touch of a state: the marks, and for each kind rows of entities.

    `kept` holds their numbers int32[k], rising, and copies of their rows: uint32[k, s], int64[k, w].
    """

    marks: NDArray[np.int64]
    kept: tuple[tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.int64]], ...]


class Rehearsal:
    """Reads features of payments that were never made, from a state as it stands."""

    def __init__(self, state: FeatureState) -> None:
        self._state = state
        self._folded: list[Rows] = []

    def peek(self, payments: Sequence[Payment]) -> NDArray[np.float32]:
        """Return features of payments that do not see each other, float32[n, F]."""
        return self._state.peek(self._rows(payments)).features

    def peek_amounts(
        self, payments: Sequence[Payment], amounts: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Return features of each payment at each of its amounts, payment by payment, float32[n, F]."""
        each = self._rows(payments)
        of = np.repeat(np.arange(len(payments)), [len(its) for its in amounts])
        rows = Rows(each.event_time_us[of], np.concatenate(amounts), each.surrogates[of], each.numerics[of])
        return self._state.peek(rows).features

    def jumps(self, payment: Payment) -> NDArray[np.int64]:
        """Return the largest amount before each place where a run of small steps begins or ends, int64[m]."""
        amounts: list[int] = []
        for kind, entity in enumerate(self._state.spec.entities):
            previous = self._state.previous_minor(kind, payment.surrogates[kind])
            if entity.steps is not None and previous is not None:
                amounts += [previous - 1, previous * entity.steps.ratio_thousandths // 1_000]
        return np.array(amounts, np.int64)

    def fold(self, payments: Sequence[Payment]) -> NDArray[np.float32]:
        """Read and fold payments in order, float32[n, F]; only inside `undone`."""
        rows = self._rows(payments)
        self._empty(rows, self._state.marks)  # a later moment, set before this one, may have left something
        self._folded.append(rows)
        return self._state.score(rows).features

    def decline(self) -> None:
        """Count the payments that were folded last as declined: the next try is seen with that."""
        if self._folded:
            self._state.decline(self._folded[-1].surrogates, self._folded[-1].event_time_us)

    def keep(self, payments: Sequence[Payment]) -> Moment:
        """Copy what these payments can read or touch."""
        surrogates = self._rows(payments).surrogates
        kept = tuple(_copy(self._state, kind, np.unique(column)) for kind, column in enumerate(surrogates.T))
        return Moment(self._state.marks.copy(), kept)

    def set_to(self, moment: Moment) -> None:
        """Put a moment back, or into another state, which for its payments is then the one it is from."""
        for kind, (held, small_was, wide_was) in enumerate(moment.kept):
            if len(held):
                small, wide = self._state.rows_of(kind, int(held[-1]) + 1)
                small[held], wide[held] = small_was, wide_was
        self._state.marks[:] = moment.marks

    @contextmanager
    def undone(self, payments: Sequence[Payment]) -> Iterator[None]:
        """Take back, at the end, whatever was folded of these payments' entities, the never seen included."""
        moment, before = self.keep(payments), len(self._folded)
        try:
            yield
        finally:
            for rows in self._folded[before:]:
                self._empty(rows, moment.marks)
            del self._folded[before:]
            self.set_to(moment)

    def _empty(self, rows: Rows, marks: NDArray[np.int64]) -> None:
        """Clear what the state holds of entities of these payments that lie beyond the marks."""
        for kind, column in enumerate(rows.surrogates.T):
            beyond = column[(column >= marks[kind]) & (column < self._state.spec.entities_max)]
            if len(beyond):
                small, wide = self._state.rows_of(kind, int(beyond.max()) + 1)
                small[beyond], wide[beyond] = 0, 0

    def _rows(self, payments: Sequence[Payment]) -> Rows:
        """Return columns; an entity never seen gets the first number that is free."""
        free = self._state.marks[:-1].tolist()
        named = [
            payment
            if UNSEEN not in payment.surrogates
            else replace(
                payment,
                surrogates=tuple(
                    free[kind] if each == UNSEEN else each for kind, each in enumerate(payment.surrogates)
                ),
            )
            for payment in payments
        ]
        return rows_of(named)


def _copy(
    state: FeatureState, kind: int, surrogates: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.int64]]:
    held = surrogates[(surrogates >= 0) & (surrogates < state.spec.entities_max)]
    small, wide = state.rows_of(kind, int(held[-1]) + 1 if len(held) else 0)
    return held, small[held], wide[held]
