"""Which pending challengers are kept warm when there are too many: one of each recipe, then the newest.

    pending, oldest first ─▶ newest of each recipe ─ the others, newest first ─▶ kept … │ let go

Recipes that run in each cycle would otherwise fill the places by turns, and one that
fails for some cycles, or gives the same bytes, would have nobody waiting: the mix would be
of ages and not of kinds, just when an attack comes back that only the other kind knows.
"""

from collections.abc import Sequence

from fraud.registry.version import VersionState


def let_go(pending: Sequence[VersionState], most: int) -> list[VersionState]:
    """Return those of `pending`, oldest first, beyond `most`: neither the newest of their recipe nor new."""
    newest = {version.recipe: version.version for version in pending}
    places = range(len(pending))
    ranked = sorted(
        places, key=lambda at: (newest[pending[at].recipe] == pending[at].version, at), reverse=True
    )
    return [pending[at] for at in sorted(ranked[most:])]
