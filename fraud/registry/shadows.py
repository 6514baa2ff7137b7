"""Which versions score live traffic without effect. Pure: the scorer loads what is listed here.

former          the champion before this one, while its probation lasts
challenger_1…n  challengers: those that the gate stands behind first, then the newest
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fraud.registry.approval import awaits_approval
from fraud.registry.probation import probation_of
from fraud.registry.upkeep import vacuumed_by

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState
    from fraud.registry.version import VersionState

FORMER = "former"
CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True)
class ShadowPlace:
    """A version in shadow. `slot` is `former` or `challenger_<i>`, i from 1."""

    slot: str
    version: str


def shadows_of(
    state: "RegistryState", model: str, now_us: int, challengers_max: int
) -> tuple[ShadowPlace, ...]:
    """Return what scores a model's traffic in shadow now, in order of slots; `now_us` is µs UTC."""
    probation = probation_of(state, model)
    places = []
    if probation is not None and now_us < probation.until_us:
        places.append(ShadowPlace(FORMER, probation.former))
    waiting = [it for it in state.pending(model) if not vacuumed_by(state, it)]
    waiting.sort(key=lambda it: _rank(state, it), reverse=True)
    places += [
        ShadowPlace(f"{CHALLENGER}_{i + 1}", version.version)
        for i, version in enumerate(waiting[:challengers_max])
    ]
    return tuple(places)


def _rank(state: "RegistryState", version: "VersionState") -> tuple[bool, int, int]:
    """The gate's favourites keep their place, oldest first, until they are through; then the newest."""
    if awaits_approval(state, version):
        return True, -version.cut_time_us, -version.created_seq
    return False, version.cut_time_us, version.created_seq
