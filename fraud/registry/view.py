"""A running fold over the ledger: reads only what is new at each look."""

import threading

from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore


class Registry:
    """The ledger's state, brought up to date on request. Safe to use from several threads.

    The state is shared by all who ask and must not be changed by them.
    """

    def __init__(self, store: LedgerStore) -> None:
        self.store = store
        self.state = RegistryState()
        self._lock = threading.Lock()

    def refresh(self) -> RegistryState:
        """Fold what is new and return the state.

        Raises:
            Damaged: an entry cannot be read or does not follow the one before.
            Unavailable: the ledger cannot be read now.
        """
        with self._lock:
            self.store.follow(self.state)
            return self.state
