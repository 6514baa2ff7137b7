"""When a person may promote a version, and which versions wait for one.

    Promoted   … verdict                 (the entry of the verdict that it rests on; left out where it rests
                                          on none, and by older releases)
               … override overridden     (true, and what was passed over; left out when nothing was)

A version awaits approval when it is a clean challenger whose last verdict is
PROMOTE against the champion of now, and stands. Any other clean version takes an override,
on the record: one that is undecided, rejected, superseded, or served before. What
is tainted, or whose bundle is gone, takes none; the ledger refuses it.

A verdict stands while nothing that it was read from is hidden. An exclusion that hides some of it, muted
labels included, sends the version back to be judged anew; undone, it lets the verdict stand again. What
the verdict did not see does it no harm: data behind its cut that is hidden, or data that was hidden then
and counts again, is to it like evidence that came later.
"""

from typing import TYPE_CHECKING

from fraud.errors import NotAllowedNow
from fraud.registry.upkeep import vacuumed_by

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState
    from fraud.registry.version import Verdict, VersionState


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
    if champion and last.way == "floors" and not last.unreadable and not state.tainted_by(champion):
        return (
            f"the verdict on {version.version} (ledger entry {last.seq}) is for a successor of a tainted "
            f"champion, and {champion} is clean again"
        )
    hiding = hidden_from(state, last)
    if hiding:
        listed = ", ".join(map(str, hiding))
        return (
            f"the verdict on {version.version} (ledger entry {last.seq}) was read from data that exclusion "
            f"{listed} hides"
        )
    return ""


def hidden_from(state: "RegistryState", verdict: "Verdict") -> tuple[int, ...]:
    """Return the exclusions in force that hide what a verdict was read from; none: it stands.

    Muted labels stand before the position of their entry, so for them the cut says nothing.
    """
    upto = verdict.cut_position
    return tuple(
        it.seq
        for it in list(state.exclusions.values())
        if it.in_force
        and (it.muted or upto is None or it.first_position <= upto)
        and not any(hidden.covers(it.data) for hidden in verdict.view.exclusions)
    )


def check_verdict(state: "RegistryState", version: "VersionState", seq: int) -> None:
    """Refuse a promotion that rests on a verdict which does not stand.

    Raises:
        NotAllowedNow: it is not the last one, not PROMOTE against the champion of now, or was read from
            what is hidden.
    """
    why = unapproved(state, version)
    if not why and version.verdicts[-1].seq != seq:
        why = f"{version.version} was judged anew (ledger entry {version.verdicts[-1].seq})"
    if why:
        raise NotAllowedNow(
            f"{why}, so the verdict that the promotion rests on (ledger entry {seq}) does not stand; the "
            "next retrain judges it anew, and 'fraud promote --override' passes over it"
        )


def awaits_approval(state: "RegistryState", version: "VersionState") -> bool:
    """Tell whether a version may be promoted without an override."""
    barred = state.tainted_by(version.version) or vacuumed_by(state, version)
    return not barred and not unapproved(state, version)


def awaiting_approval(state: "RegistryState", model: str) -> list["VersionState"]:
    """Return the versions of a model that may be promoted without an override, oldest first."""
    return [it for it in list(state.versions.values()) if it.model == model and awaits_approval(state, it)]
