"""A recorded history as honest traffic: its own frauds are left out, what remains is nobody's invention.

    Parquet or CSV ─ [import] ─▶ columns ─ without rows labelled fraud ─ a share of the cards ─▶ days

What attackers know of merchants is what the first two weeks showed, whole cards are left
out so that the others keep their habits, and numbers are those of the whole file.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fraud.adversary.honest import CARD, MERCHANT, Bools, Floats, Ints, Payments, required_kind
from fraud.clock import DAY_US
from fraud.errors import InvalidInput
from fraud.serving.history_table import History, read_history
from fraud.settings import Settings

_KNOWN_DAYS = 14


class RecordedTraffic:
    """Genuine payments of a history file, by day (UTC), as `HonestTraffic`.

    `cards_share` keeps so many of the cards, drawn by their number with a seed: others with each seed,
    and some of them again.

    Raises:
        InvalidInput: the file cannot be read, or has no genuine payment.
    """

    def __init__(self, settings: Settings, path: Path, cards_share: float = 1.0, seed: int = 0) -> None:
        if not 0 < cards_share <= 1:
            raise ValueError(f"cards_share: {cards_share} is not within (0, 1]")
        self.settings = settings
        self._card = required_kind(settings, CARD)
        self._merchant = required_kind(settings, MERCHANT)
        history = read_history(settings, path)
        self._tokens = history.tokens
        self.words, codes = _coded(history)
        surrogates = history.rows.surrogates
        kept = np.flatnonzero(~history.is_fraud & drawn(surrogates[:, self._card], cards_share, seed))
        if not len(kept):
            raise InvalidInput("file", f"{path.name} holds no genuine payment", "give a history that does")
        order = kept[np.argsort(history.rows.event_time_us[kept], kind="stable")]
        rows = history.rows
        self._payments = Payments(
            rows.event_time_us[order],
            surrogates[order],
            rows.amount_minor[order],
            rows.numerics[order],
            codes[order],
        )
        times = self._payments.event_time_us
        self.start_us = int(times[0]) // DAY_US * DAY_US
        self.days = int(times[-1] - self.start_us) // DAY_US + 1
        self._starts = np.searchsorted(times, self.start_us + DAY_US * np.arange(self.days + 1))
        self.entities = tuple(len(tokens) for tokens in history.tokens)
        self._first_day = self._first_days()

    def _first_days(self) -> Ints:
        first = np.full(self.entities[self._card], self.days, np.int64)
        days = (self._payments.event_time_us - self.start_us) // DAY_US
        np.minimum.at(first, self._payments.surrogates[:, self._card], days)
        return first

    def day(self, index: int) -> Payments:
        """Return the genuine payments of a day."""
        return self._payments.part(int(self._starts[index]), int(self._starts[index + 1]))

    def cards(self, index: int) -> Ints:
        """Return the cards that have paid on this day or before."""
        return np.flatnonzero(self._first_day <= index)

    def merchants(self, index: int) -> Ints:
        """Return the merchants seen before this day's end and within the first two weeks, busiest first."""
        stop = int(self._starts[min(index + 1, _KNOWN_DAYS, self.days)])
        counts = np.bincount(
            self._payments.surrogates[:stop, self._merchant], minlength=self.entities[self._merchant]
        )
        order = np.argsort(-counts, kind="stable")
        return order[counts[order] > 0].astype(np.int64)

    def dress(
        self, rng: np.random.Generator, cards: Ints, merchants: Ints, *, near: bool
    ) -> tuple[Floats, Ints]:
        """Return other fields as those of genuine payments drawn at random, near or not."""
        del merchants, near
        drawn = rng.integers(0, len(self._payments), len(cards))
        return self._payments.numerics[drawn], self._payments.words[drawn]

    def token(self, kind: int, number: int) -> str:
        """Return the token of the file, or one of the attackers' own."""
        known = self._tokens[kind]
        return known[number] if number < len(known) else f"own-{number}"


def _coded(history: History) -> tuple[tuple[tuple[str, ...], ...], Ints]:
    """Return each categorical field's words, and their places, int64[n, C]."""
    n = len(history.ids)
    fields = list(zip(*history.categoricals, strict=True))
    words, columns = [], []
    for field in fields:
        found, codes = np.unique(np.array(field, dtype=np.str_), return_inverse=True)
        words.append(tuple(str(word) for word in found))
        columns.append(codes.astype(np.int64))
    return tuple(words), np.column_stack(columns) if columns else np.empty((n, 0), np.int64)


def drawn(numbers: NDArray[np.int32], share: float, seed: int) -> Bools:
    """Mark the rows of a share of the numbers, which are 0 or more; whatever rows there are, the same ones.

    >>> drawn(np.array([0, 1, 2, 3, 1]), 0.5, seed=1).tolist()
    [False, True, True, True, True]
    """
    chances = np.random.default_rng([seed, 27]).random(int(numbers.max(initial=-1)) + 1)
    marked: Bools = chances[numbers] < share
    return marked
