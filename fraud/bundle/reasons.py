"""Why a row scored high: stable codes for machines, a short text for people.

    matrix float32[n, d] → TreeSHAP contributions float64[n, d]
      → the k largest above zero → code, feature, contribution, text

The code is the feature and how the value lies to the reference median, e.g.
`CARD_COUNT_1H_HIGH`, `_LOW`, `_TYPICAL` (the median itself), `_MISSING`; for a
word `CHANNEL_WORD`, and `CHANNEL_MISSING` where none was given or training
never saw it. It depends on nothing that a retrain renames.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.bundle.references import CategoricalReference, ColumnReference

_WINDOW = r"(?P<window>(?:\d+(?:d|h|m|s|ms))+)"
_RATE = r"(?P<window>\w+?)_delay_(?P<delay>\w+)"
_PHRASES = (
    (
        rf"(?P<entity>\w+?)_amount_over_mean_{_WINDOW}",
        "{entity}: amount is {value} times its mean within {window}",
    ),
    (rf"(?P<entity>\w+?)_small_count_{_WINDOW}", "{entity}: {value} small transactions within {window}"),
    (rf"(?P<entity>\w+?)_declined_count_{_WINDOW}", "{entity}: {value} declined within {window}"),
    (rf"(?P<entity>\w+?)_count_{_WINDOW}", "{entity}: {value} transactions within {window}"),
    (rf"(?P<entity>\w+?)_sum_{_WINDOW}", "{entity}: {value} spent within {window}"),
    (rf"(?P<entity>\w+?)_mean_{_WINDOW}", "{entity}: mean amount {value} within {window}"),
    (rf"(?P<entity>\w+?)_max_{_WINDOW}", "{entity}: largest amount {value} within {window}"),
    (rf"(?P<entity>\w+?)_std_{_WINDOW}", "{entity}: amounts scatter by {value} within {window}"),
    (
        rf"(?P<entity>\w+?)_distinct_(?P<other>\w+)_{_WINDOW}",
        "{entity}: about {value} different values of {other} within {window}",
    ),
    (r"(?P<entity>\w+)_since_previous_s", "{entity}: {value} s since its previous transaction"),
    (r"(?P<entity>\w+)_amount_over_previous", "{entity}: amount is {value} times the one before"),
    (r"(?P<entity>\w+)_steps", "{entity}: {value} small steps in a row led up to the amount"),
    (r"(?P<entity>\w+)_age_s", "{entity}: first seen {value} s ago"),
    (
        rf"(?P<entity>\w+)_fraud_rate_{_RATE}",
        "{entity}: known fraud rate {value} within {window}, {delay} ago",
    ),
    (r"(?P<entity>hour|day_of_week|weekend|night)", "{entity}: {value}"),
)
_PATTERNS = tuple((re.compile(pattern), phrase) for pattern, phrase in _PHRASES)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason; `contribution` is in log-odds, above 0 pushes towards fraud."""

    code: str
    feature: str
    contribution: float
    text: str


def reasons_of(bundle: Bundle, matrix: NDArray[np.float32], count_max: int) -> list[list[Reason]]:
    """Return up to `count_max` reasons for each row of a bundle's matrix, the strongest first.

    Only contributions above zero are reasons. About a millisecond a row, so
    off the scoring thread.
    """
    if not len(matrix):
        return []
    contributions = bundle.contributions(matrix)[:, :-1]
    order = np.argsort(-contributions, axis=1, kind="stable")[:, :count_max]
    return [
        [_reason(bundle, place, float(row[place]), float(why[place])) for place in best if why[place] > 0]
        for row, why, best in zip(matrix, contributions, order.tolist(), strict=True)
    ]


def _reason(bundle: Bundle, place: int, value: float, contribution: float) -> Reason:
    name = bundle.column_names[place]
    numeric = len(bundle.feature_names)
    if place < numeric:
        direction, text = describe_number(bundle.references.columns[place], value)
    else:
        words = bundle.vocabularies[place - numeric].words
        direction, text = _describe_word(bundle.references.categoricals[place - numeric], words, value)
    return Reason(f"{name.upper()}_{direction}", name, contribution, text)


def describe_number(reference: ColumnReference, value: float) -> tuple[str, str]:
    """Return how a feature's value lies to its reference, the end of the code, and a text for people."""
    if math.isnan(value):
        return "MISSING", f"{reference.name}: not given"
    text = _phrase(reference.name, _spell(value))
    if reference.median is None or reference.typical_low is None or reference.typical_high is None:
        return "HIGH", f"{text}; was never given in reference traffic"
    low, high = _spell(reference.typical_low), _spell(reference.typical_high)
    typical = low if low == high else f"{low}–{high}"
    if value == reference.median:
        return "TYPICAL", f"{text}; typical {typical}"
    return "HIGH" if value > reference.median else "LOW", f"{text}; typical {typical}"


def _describe_word(reference: CategoricalReference, words: tuple[str, ...], value: float) -> tuple[str, str]:
    if math.isnan(value):
        return "MISSING", f"{reference.name}: not given, or not seen in training"
    word = words[int(value)]
    shares = dict(zip(reference.words, reference.shares, strict=True))
    share = f"{shares[word]:.2%} of transactions" if word in shares else "rare"
    return "WORD", f"{reference.name}: {word}; {share}"


def _phrase(name: str, value: str) -> str:
    for pattern, phrase in _PATTERNS:
        found = pattern.fullmatch(name)
        if found:
            return phrase.format(value=value, **found.groupdict())
    return f"{name}: {value}"


def _spell(value: float) -> str:
    """Spell a number shortly: integers up to a million whole, others with three digits."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
