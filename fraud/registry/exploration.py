"""The switch of exploration in the ledger: off at once, without a restart.

    ExplorationSwitched   model on

Off, no would-be decline of the model is let through. On, the configuration says
which are; a switch does not turn on what `enabled = false` turns off.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fraud.errors import InvalidInput
from fraud.registry.chain import LedgerEntry

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState


def _switched(state: "RegistryState", entry: LedgerEntry) -> None:
    model, on = entry.body["model"], entry.body["on"]
    if not isinstance(on, bool):
        raise InvalidInput("body.on", f"is {on!r}", "give true or false")
    state.exploration_switches[model] = entry


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {"ExplorationSwitched": _switched}
