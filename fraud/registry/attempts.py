"""How many attempts were made against a champion: what `j` in `fraud.gate.eprocess.required_e` is counted by.

    an attempt   the challengers of one cut, registered under one number
    counted      what was registered in the present reign, and what is older but judged in it:
                 a challenger still waits, or one had a verdict since the reign began
    the next     gets the number of those counted, plus one

Challengers that a promotion supersedes are dropped unjudged, so their attempts count no more. Others outlive
a rollback, an override or a promotion from shadow: they are judged against the next champion under the
numbers they have, and new attempts are numbered behind as many.

That keeps one error budget for each reign. In order of size, the i-th number counted is never below i: one
that counts no more moves those above it down a place, and a new one is as high as the last place or stands
below higher ones. So 1 / (j (j + 1)) over all that are judged in a reign sums to one at most.
"""

from bisect import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState
    from fraud.registry.version import VersionState


def attempts_made(state: "RegistryState", model: str, since_us: int = 0) -> int:
    """Return how many attempts count against the present champion.

    Those whose cut lies before `since_us` do not.
    """
    reigns = [reign.seq for reign in state.reigns(model)]
    began_seq = reigns[-1] if reigns else 0
    # Numbers begin again with a reign, so two attempts of one cut may have the same one.
    made = {
        (bisect(reigns, version.created_seq), version.cut_position, version.attempt)
        for version in list(state.versions.values())
        if version.model == model and version.cut_time_us >= since_us and _counts(version, began_seq)
    }
    return len(made)


def _counts(version: "VersionState", began_seq: int) -> bool:
    """Tell whether a version is judged in the reign that an entry began.

    A tainted challenger counts: it may be judged again once the exclusion is undone.
    """
    judged = bool(version.verdicts) and version.verdicts[-1].seq > began_seq
    return version.created_seq > began_seq or version.status == "challenger" or judged
