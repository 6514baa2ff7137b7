"""The reference that never changes: the first champion, which shows what retraining has brought."""

from typing import TYPE_CHECKING

from fraud.registry.upkeep import vacuumed_by

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState


def reference_of(state: "RegistryState", model: str) -> str:
    """Return the earliest champion of a model whose bundle is still there, "" for none."""
    for reign in state.reigns(model):
        if reign.version and not vacuumed_by(state, state.version(reign.version)):
            return reign.version
    return ""
