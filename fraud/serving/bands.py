"""What a caller without the right to raw scores sees of a decision: a band, and codes.

    score 0.9713, risk_score 993  →  band VERY_HIGH

Whoever watches scores while changing a payment a little can walk along the
boundary to where it is crossed; a band moves only when it is crossed. That a
would-be decline was let through, with which chance, and which rule decided says
as much, so that goes, too.
"""

from typing import Final

from fraud.serving.roles import calling
from fraud.settings.access import Bands
from fraud.v1 import scoring_pb2
from fraud.v1.scoring_pb2 import Band, Decision, Reason

HIDDEN: Final = ("score", "risk_score", "explored", "propensity", "rule")
"""Fields of a decision that such a caller never gets."""


def band_of(risk_score: int, bands: Bands) -> "Band.ValueType":
    """Return the band of a risk score, 0 to 999; a cut-off belongs to the band above it.

    >>> Band.Name(band_of(950, Bands())), Band.Name(band_of(949, Bands()))
    ('HIGH', 'MEDIUM')
    """
    if risk_score >= bands.very_high:
        return scoring_pb2.VERY_HIGH
    if risk_score >= bands.high:
        return scoring_pb2.HIGH
    return scoring_pb2.MEDIUM if risk_score >= bands.medium else scoring_pb2.LOW


def veiled(decision: Decision, bands: Bands) -> Decision:
    """Return the decision, changed in place: the band for the scores, codes alone for the reasons."""
    if decision.HasField("risk_score"):
        decision.band = band_of(decision.risk_score, bands)
    for field in HIDDEN:
        decision.ClearField(field)
    codes = [Reason(code=reason.code) for reason in decision.reasons]
    del decision.reasons[:]
    decision.reasons.extend(codes)
    return decision


def seen(decision: Decision, bands: Bands) -> Decision:
    """Return a decision as whoever calls may see it; whole where identities are off."""
    caller = calling()
    return decision if caller is None or caller.raw_scores else veiled(decision, bands)
