"""The registry ledger: versions, verdicts, promotions and retrains, chained and append-only."""

from fraud.registry.chain import LedgerEntry
from fraud.registry.ledger import RegistryState, RequestState, Verdict, VersionState
from fraud.registry.store import LedgerStore, promote

__all__ = [
    "LedgerEntry",
    "LedgerStore",
    "RegistryState",
    "RequestState",
    "Verdict",
    "VersionState",
    "promote",
]
