"""What the crowds of `benchmarks.crash` and `benchmarks.soak` have in common."""

from collections.abc import Container, Sequence
from random import Random

from fraud.records import Label, LabelValue
from fraud.registry.store import promote
from fraud.registry.view import Registry
from fraud.v1.transaction_pb2 import Transaction


def labels_of(wires: Sequence[Transaction], frauds: Container[str], now_us: int) -> list[Label]:
    """Return the true labels of payments; `frauds` has the ids of those that are."""
    return [
        Label(
            it.transaction_id,
            LabelValue.FRAUD if it.transaction_id in frauds else LabelValue.LEGITIMATE,
            now_us,
        )
        for it in wires
    ]


def promote_another(registry: Registry, random: Random, actor: str) -> int | None:
    """Promote a clean version that does not serve; return the entry on the ledger, None without one.

    Raises:
        StaleHead: somebody else promoted meanwhile.
        NotAllowedNow: the version was rejected or superseded meanwhile.
    """
    state = registry.refresh()
    champion = state.champion("card")
    others = [
        it.version
        for it in state.versions.values()
        if it.version != champion
        and it.status in ("challenger", "former champion")
        and not state.tainted_by(it.version)
    ]
    if not others:
        return None
    version = random.choice(sorted(others))
    return promote(registry.store, "card", version, champion, actor=actor, reason=actor, time_us=1).seq
