"""The registry ledger: versions, verdicts, promotions and retrains, chained and append-only."""

from fraud.registry.chain import LedgerEntry
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore, promote
from fraud.registry.version import RequestState, Verdict, VersionState

__all__ = [
    "LedgerEntry",
    "LedgerStore",
    "RegistryState",
    "RequestState",
    "Verdict",
    "VersionState",
    "promote",
]
