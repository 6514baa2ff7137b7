"""Payments tried on the feature state without leaving a trace.

    state at a position ─ peek: rows that do not see each other
                        └ inside `undone`: rows that do, folded, then taken back

An attack of several payments is seen by the velocity features of its own later ones,
declined ones included: everything that is scored is folded. What a fold touches is the
rows of the payment's entities and the marks, so a copy of those is all that has to be
put back; the state is the very one that replay gives. A payment that waits is read from
the state of the fraud's own moment: what honest people pay meanwhile is not in it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.payment import UNSEEN, Payment, rows_of
from fraud.features.fold import FeatureFold
from fraud.features.state import FeatureState, Rows


class Rehearsal:
    """Reads features of payments that were never made, at the position where a fold stands."""

    def __init__(self, fold: FeatureFold) -> None:
        self._state = fold.state
        self._folded: Rows | None = None
        spec = fold.spec
        self._widths = len(spec.names), len(spec.numeric_names)

    def peek(self, payments: Sequence[Payment]) -> NDArray[np.float32]:
        """Return features of payments that do not see each other, float32[n, F]."""
        return self._state.peek(self._rows(payments)).features

    def peek_amounts(self, payment: Payment, amounts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return features of one payment at many amounts, float32[n, F]."""
        one, n = self._rows([payment]), len(amounts)
        rows = Rows(
            np.repeat(one.event_time_us, n),
            amounts,
            np.repeat(one.surrogates, n, axis=0),
            np.repeat(one.numerics, n, axis=0),
        )
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
        self._folded = self._rows(payments)
        return self._state.score(self._folded).features

    def decline(self) -> None:
        """Count the payments that were folded last as declined: the next try is seen with that."""
        if self._folded is not None:
            self._state.decline(self._folded.surrogates, self._folded.event_time_us)

    @contextmanager
    def undone(self, payments: Sequence[Payment]) -> Iterator[None]:
        """Take back, at the end, whatever was folded of these payments' entities."""
        state = self._state
        surrogates = self._rows(payments).surrogates
        marks = state.marks.copy()
        kept = [_copy(state, kind, np.unique(column)) for kind, column in enumerate(surrogates.T)]
        try:
            yield
        finally:
            for small, wide, small_was, wide_was, held in kept:
                small[held], wide[held] = small_was, wide_was
            state.marks[:] = marks

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


_Copy = tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64], NDArray[np.int32]]


def _copy(state: FeatureState, kind: int, surrogates: NDArray[np.int32]) -> _Copy:
    held = surrogates[(surrogates >= 0) & (surrogates < state.spec.entities_max)]
    small, wide = state.rows_of(kind, int(held.max()) + 1 if len(held) else 0)
    return small, wide, small[held].copy(), wide[held].copy(), held
