"""Evidence that may be looked at whenever one likes: e-processes over fraud units.

An e-process is a bet against the null that starts at 1 and, if the null holds,
is expected to stay at or below it. It exceeds 1/α with probability at most α
over *all* looks together (Ville), so waiting for more evidence costs nothing.

    superiority   null: of the units that one side alone caught, the challenger's share <= 1/2
                  E = mean over that share p, uniform on (1/2, 1), of Π 2p or 2(1 − p)
    refresh       null: the challenger's recall is lower by the margin m or more
                  E = mean over stakes λ of Π (1 + λ (d + m) / (1 + m)), d = −1, 0, +1 per unit

All products are kept as logarithms. Several challengers, or several attempts
against one champion, share one error budget: `required_e`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, logsumexp

STAKES = np.geomspace(0.01, 0.99, 24)
"""λ of the refresh process. Large ones win soon on clear cases, small ones survive setbacks; none
is 1, which one loss at a small margin would all but ruin."""

_LOG_LARGEST = 690.0
"""Beyond it `exp` leaves float64; E is capped here, far above any bound."""


def superiority_log_e(wins: float, losses: float) -> float:
    """Return ln E that the challenger catches more; 0 without discordant units.

    `wins` are units only the challenger caught, `losses` units only the
    champion did. E = 2^(b+c+1) · B(b+1, c+1) · P(Beta(b+1, c+1) > 1/2).
    −inf where E is below what float64 can hold.
    """
    above_half = float(betainc(losses + 1, wins + 1, 0.5))
    if above_half == 0.0:
        return -np.inf
    constant = (wins + losses + 1) * np.log(2) + float(betaln(wins + 1, losses + 1))
    return float(constant + np.log(above_half))


def refresh_log_e(differences: NDArray[np.int64], margin: float) -> float:
    """Return ln E that the challenger's recall is not lower by `margin` or more; 0 without units.

    `differences` is int64[u] in event order: caught by the challenger (0/1)
    minus caught by the champion. `margin` is within (0, 1).
    """
    counts = np.array([np.sum(differences == value) for value in (-1, 0, 1)])
    gains = (np.array([-1.0, 0.0, 1.0]) + margin) / (1 + margin)
    log_wealth = counts @ np.log1p(np.outer(gains, STAKES))
    return float(logsumexp(log_wealth) - np.log(len(STAKES)))


def required_e(e_value: float, challengers: int, attempt: int) -> float:
    """Return the E to reach: `e_value` · K · j(j + 1) for the j-th attempt with K challengers.

    Over all attempts 1 / (j (j + 1)) sums to one, so the error budget
    1 / `e_value` covers every attempt in the reign of a champion, those that were begun
    against another and outlived it included (`fraud.registry.attempts`). Where only those
    of a span are counted (`gate.attempts_within`), it covers the attempts of a span.

    >>> required_e(20, 1, 1), required_e(20, 3, 2)
    (40.0, 360.0)
    """
    return float(e_value * challengers * attempt * (attempt + 1))


def e_of(log_e: float) -> float:
    """Return E itself, finite: capped where float64 ends."""
    return float(np.exp(min(log_e, _LOG_LARGEST)))


def more_evidence_needed(wins: int, losses: int, log_required: float, longest: float = 64.0) -> float | None:
    """Return how many times the present evidence is needed at the present win share, or None.

    None when even `longest` times would not do: there is no difference to see.
    """
    if wins <= losses:
        return None
    low, high = 1.0, longest
    if superiority_log_e(high * wins, high * losses) < log_required:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        if superiority_log_e(middle * wins, middle * losses) < log_required:
            low = middle
        else:
            high = middle
    return high
