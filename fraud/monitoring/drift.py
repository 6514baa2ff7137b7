"""How far traffic and scores have moved, with an effect size for each.

    a version's reference shares (m rows) against recent rows (n) over the same bins
      PSI         Σ (observed − reference) · ln(observed ÷ reference)
      by chance   about (bins − 1)(1/n + 1/m) when nothing has changed
      moved       share of rows in another bin than before, 0..1 (total variation)
      shift       of the median, in units of the middle 80 % of the reference

PSI grows with the number of bins and shrinks with n, so what chance alone gives
stands beside it, and what is called moved depends on the effect, not on n.

    a finding     PSI beyond chance > effect, and p <= p_value for all features together
                  (Holm 1979; under no change PSI ÷ (1/n + 1/m) is χ² with bins − 1 degrees)

Rows of one card are alike, so rows count as the equally weighted cards that would say as much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from fraud.bundle.bundle import Bundle
from fraud.bundle.references import CategoricalReference, ColumnReference
from fraud.bundle.risk_scale import RISK_SCORE_MAX
from fraud.evaluation.resampling import grouped
from fraud.evaluation.weighted import effective_sample_size
from fraud.settings.monitoring import Drift as DriftRules

NOTABLE_PSI: Final = 0.1
"""Above what chance gives; the usual line between stable and moved."""
RISK_BINS: Final = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """One distribution against another, of `bins` bins."""

    name: str
    psi: float
    by_chance: float
    moved: float
    shift: float | None = None
    bins: int = 2

    @property
    def notable(self) -> bool:
        """More than chance, and large enough to matter."""
        return self.effect > NOTABLE_PSI

    @property
    def effect(self) -> float:
        """PSI beyond what chance gives; about 0 when nothing has changed."""
        return self.psi - self.by_chance

    @property
    def p_value(self) -> float:
        """The chance of such a PSI or a larger one when nothing has changed."""
        if self.by_chance <= 0:
            return 1.0
        freedom = self.bins - 1
        return float(chi2.sf(self.psi * freedom / self.by_chance, freedom))


def drift(name: str, reference: Floats, observed: Floats, rows: tuple[int, int]) -> Drift:
    """Compare shares over the same bins, float64[bins] each; `rows` behind reference and observed.

    Half a row is added to every bin, so an empty one has a logarithm.

    >>> drift("same", np.array([0.5, 0.5]), np.array([0.5, 0.5]), (100, 100))
    Drift(name='same', psi=0.0, by_chance=0.02, moved=0.0, shift=None, bins=2)
    """
    m, n = max(rows[0], 1), max(rows[1], 1)
    bins = len(reference)
    before = (reference * m + 0.5) / (m + 0.5 * bins)
    now = (observed * n + 0.5) / (n + 0.5 * bins)
    psi = float(np.sum((now - before) * np.log(now / before)))
    moved = float(np.abs(observed - reference).sum() / 2)
    return Drift(name, psi, (bins - 1) * (1 / n + 1 / m), moved, bins=bins)


def feature_drift(bundle: Bundle, matrix: NDArray[np.float32], alike: float = 1.0) -> list[Drift]:
    """Return the drift of each column of a bundle's matrix float32[n, d], the largest PSI first.

    `alike` >= 1 is how many rows say as much as one that stands by itself (`likeness`).
    """
    references, width = bundle.references, len(bundle.feature_names)
    rows = effective_rows(references.rows, len(matrix), alike)
    found = [_number(each, matrix[:, i], rows) for i, each in enumerate(references.columns)]
    for i, each in enumerate(references.categoricals):
        words = bundle.vocabularies[i].words
        found.append(_words(each, words, matrix[:, width + i], rows))
    return sorted(found, key=lambda each: -each.psi)


def effective_rows(reference: int, recent: int, alike: float) -> tuple[int, int]:
    """Return how many independent rows stand behind reference and recent shares."""
    return round(reference / alike), round(recent / alike)


def likeness(cards: NDArray[np.int64]) -> float:
    """Return how many rows say as much as one by itself, when rows of a card are all alike; 1 or more.

    A row without a card (`NO_CARD`) is like no other.

    >>> likeness(np.array([1, 1, 2, 2]))
    2.0
    """
    _, group = grouped(cards)
    counts = np.bincount(group).astype(np.float64)
    return len(cards) / effective_sample_size(counts) if len(cards) else 1.0


def findings(drifts: Iterable[Drift], rules: DriftRules) -> list[Drift]:
    """Return the distributions that have moved, by effect and beyond chance; those in `ignore` never.

    Holm's procedure (1979) keeps the chance of any false finding of a look at
    `p_value`, however many distributions there are.
    """
    judged = [it for it in drifts if not any(fnmatch(it.name, pattern) for pattern in rules.ignore)]
    by_chance = sorted(judged, key=lambda it: it.p_value)
    beyond = 0
    while beyond < len(judged) and by_chance[beyond].p_value <= rules.p_value / (len(judged) - beyond):
        beyond += 1
    return [it for it in by_chance[:beyond] if it.effect > rules.effect]


def _number(reference: ColumnReference, values: NDArray[np.float32], rows: tuple[int, int]) -> Drift:
    made = drift(reference.name, reference.expected(), reference.observed(values), rows)
    present = values[~np.isnan(values)]
    low, middle, high = reference.typical_low, reference.median, reference.typical_high
    if low is None or middle is None or high is None or not len(present) or high <= low:
        return made
    shift = (float(np.median(present)) - middle) / (high - low)
    return Drift(made.name, made.psi, made.by_chance, made.moved, shift, made.bins)


def _words(
    reference: CategoricalReference,
    words: Sequence[str],
    codes: NDArray[np.float32],
    rows: tuple[int, int],
) -> Drift:
    """Compare the shares of the words that have one, of all others, and of missing or unseen."""
    total = max(len(codes), 1)
    present = codes[~np.isnan(codes)].astype(np.int64)
    shares = np.bincount(present, minlength=len(words)) / total
    kept = [words.index(word) for word in reference.words]
    own = shares[kept]
    observed = np.append(own, [len(present) / total - own.sum(), 1 - len(present) / total])
    expected = np.array([*reference.shares, reference.other, reference.missing])
    return drift(reference.name, expected, observed, rows)


def score_shares(edges: Sequence[float], scores: Floats) -> Floats:
    """Return the share of scores in each bin between rising inner edges, float64[edges + 1]."""
    bins = np.searchsorted(np.asarray(edges), scores, "right")
    return np.bincount(bins, minlength=len(edges) + 1) / max(len(scores), 1)


def risk_shares(risk_scores: NDArray[np.int32]) -> Floats:
    """Return the share of risk scores in each of `RISK_BINS` equal bins of 0…999."""
    bins = risk_scores * RISK_BINS // (RISK_SCORE_MAX + 1)
    return np.bincount(bins, minlength=RISK_BINS) / max(len(risk_scores), 1)
