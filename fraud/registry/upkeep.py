"""Entries of the ledger about what was removed for good: bundles, files, and a person's data.

    Vacuumed       bundles files bytes         bundles are digests; entered before the first one goes
    EntityErased   entity surrogate transactions fields comments linked
                   (counts of what was blanked; `linked`: entity → surrogates whose tokens went, too)

Neither is ever undone. A bundle that was vacuumed cannot serve again, so a
promotion or rollback to it is refused by name.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fraud.errors import NotAllowedNow
from fraud.registry.chain import LedgerEntry

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState
    from fraud.registry.version import VersionState


def _vacuumed(state: "RegistryState", entry: LedgerEntry) -> None:
    bundles = entry.body["bundles"]
    champions = {it.digest: it.version for it in list(state.versions.values()) if it.status == "champion"}
    for digest in bundles:
        if digest in champions:
            raise NotAllowedNow(f"{champions[digest]} is a champion; its bundle stays")
    state.vacuumed.update(dict.fromkeys(bundles, entry.seq))


def _entity_erased(state: "RegistryState", entry: LedgerEntry) -> None:
    body = entry.body
    # A log restored from a copy may have to be told again, so the same surrogate may come twice.
    state.erased[body["entity"], body["surrogate"]] = entry
    for entity, surrogates in body["linked"].items():
        for surrogate in surrogates:
            state.erased.setdefault((entity, surrogate), entry)


def vacuumed_by(state: "RegistryState", version: "VersionState") -> int:
    """Return the entry that let a version's bundle go, 0 while it is there.

    The same content registered anew after that brought the bundle back.
    """
    seq = state.vacuumed.get(version.digest, 0)
    newest = max(it.created_seq for it in list(state.versions.values()) if it.digest == version.digest)
    return seq if seq > newest else 0


def check_kept(state: "RegistryState", version: str) -> None:
    """Refuse a version whose bundle is gone.

    Raises:
        NotAllowedNow: it was vacuumed; the message says by which entry.
    """
    seq = vacuumed_by(state, state.version(version))
    if seq:
        raise NotAllowedNow(
            f"the bundle of {version} is gone: it was vacuumed by ledger entry {seq}; choose a newer version "
            "(see retention.rollback_within), or restore the bundle's folder from a copy and retrain"
        )


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {
    "Vacuumed": _vacuumed,
    "EntityErased": _entity_erased,
}
