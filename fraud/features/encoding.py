"""Categoricals as codes. A vocabulary only ever grows at its end, so codes never move."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.errors import LimitExceeded

WORDS_MAX = 2**24
"""Every code up to here is exact in float32."""


@dataclass(frozen=True)
class Vocabulary:
    """Words in code order: the first has code 0. The empty word stands for "not given" and has none."""

    words: tuple[str, ...] = ()
    codes: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = {word: code for code, word in enumerate(self.words)}
        if "" in codes or len(codes) != len(self.words):
            raise ValueError("words: empty or given twice; a word has one code")
        if len(codes) > WORDS_MAX:
            raise LimitExceeded(
                "words",
                f"{len(codes)} words, {WORDS_MAX} have an exact code",
                "leave this field out of the model",
            )
        object.__setattr__(self, "codes", codes)

    @classmethod
    def build(cls, values: Sequence[str], counts: Sequence[int]) -> Self:
        """Give codes to distinct `values`, the most frequent first, equals by alphabet.

        >>> Vocabulary.build(["pos", "web", ""], [5, 9, 3]).words
        ('web', 'pos')
        """
        return cls().extend(values, counts)

    def extend(self, values: Sequence[str], counts: Sequence[int]) -> Self:
        """Append the values that have no code yet, ordered as in `build`; known codes stay."""
        fresh = {
            (-count, value)
            for value, count in zip(values, counts, strict=True)
            if value and value not in self.codes
        }
        return type(self)((*self.words, *(value for _, value in sorted(fresh))))

    def encode(self, values: Sequence[str]) -> NDArray[np.float32]:
        """Return the code of each value, float32[n]; NaN for unseen and not given.

        >>> Vocabulary(("web", "pos")).encode(["pos", "moto", ""]).tolist()
        [1.0, nan, nan]
        """
        codes = self.codes
        return np.array([codes.get(value, np.nan) for value in values], dtype=np.float32)
