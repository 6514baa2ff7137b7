"""When a person may promote a version, and which versions wait for one.

    Promoted   … override overridden     (true, and what was passed over; left out when nothing was)

A version awaits approval when it is a clean challenger whose last verdict is
PROMOTE against the champion of now. Any other clean version takes an override,
on the record: one that is undecided, rejected, superseded, or served before. What
is tainted, or whose bundle is gone, takes none; the ledger refuses it.
"""

from typing import TYPE_CHECKING

from fraud.registry.upkeep import vacuumed_by

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState
    from fraud.registry.version import VersionState


def unapproved(state: "RegistryState", version: "VersionState") -> str:
    """Say why the gate does not stand behind a promotion now, "" when it does."""
    if version.status not in ("challenger", "rejected"):
        return f"{version.version} is {version.status}"
    if not version.verdicts:
        return f"the gate gave no verdict on {version.version}"
    last = version.verdicts[-1]
    if last.verdict != "PROMOTE":
        return f"the last verdict on {version.version} is {last.verdict} (ledger entry {last.seq})"
    champion = state.champion(version.model)
    if last.against != champion:
        return (
            f"the verdict on {version.version} is against {last.against or 'no champion'}, "
            f"and the champion is {champion or 'none'} now"
        )
    return ""


def awaits_approval(state: "RegistryState", version: "VersionState") -> bool:
    """Tell whether a version may be promoted without an override."""
    barred = state.tainted_by(version.version) or vacuumed_by(state, version)
    return not barred and not unapproved(state, version)


def awaiting_approval(state: "RegistryState", model: str) -> list["VersionState"]:
    """Return the versions of a model that may be promoted without an override, oldest first."""
    return [it for it in state.versions.values() if it.model == model and awaits_approval(state, it)]
