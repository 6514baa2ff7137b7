"""What serves in place of a tainted champion, from ledger and bundles alone.

clean predecessors, newest first ─► the first whose bundle is kept
none of them                     ─► as `no_clean_champion` says: the champion itself, or nothing
"""

from collections.abc import Sequence

from fraud.bundle.store import BundleStore
from fraud.errors import NotFound
from fraud.registry.ledger import RegistryState
from fraud.registry.upkeep import vacuumed_by
from fraud.settings import Settings


class Replacements:
    """Chooses for the models of one service. Blocking: it looks at the files of bundles."""

    def __init__(self, settings: Settings, bundles: BundleStore) -> None:
        self._models = settings.models
        self._bundles = bundles

    def of(self, model: str, clean: Sequence[str], state: RegistryState) -> str:
        """Return what serves in place of a model's tainted champion.

        That is the first of the clean versions whose bundle is still there and was not let go. Without
        one it is as `no_clean_champion` says: the champion itself, or "" for none.
        """
        for version in clean:
            known = state.version(version)
            if vacuumed_by(state, known):
                continue
            try:
                self._bundles.size(known.digest)
            except NotFound:
                continue
            return version
        return state.champion(model) if self._models[model].no_clean_champion == "KEEP" else ""

    def kept(self, state: RegistryState) -> frozenset[str]:
        """Return the champions that serve although they are tainted, for want of a clean one."""
        champions = {model: state.champion(model) for model in self._models}
        return frozenset(
            champion
            for model, champion in champions.items()
            if champion
            and state.tainted_by(champion)
            and self.of(model, state.clean_champions(model), state) == champion
        )
