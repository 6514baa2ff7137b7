"""The gate's evasion check: both sides attacked with frauds that neither learned from."""

from fraud.bundle.bundle import Bundle
from fraud.gate.checks import Check
from fraud.gate.evasion import EvasionCount, evasion
from fraud.training.history import History
from fraud.training.redteam import red_team


def evasion_checks(
    history: History, challenger: Bundle, champion: Bundle | None, since_us: int
) -> tuple[Check, ...]:
    """Return the check on frauds since a moment; none without a champion or where `attacks.gate` is off.

    It folds the whole past once and attacks `attacks.gate_frauds` frauds at most.
    """
    attacks = history.settings.attacks
    if champion is None or not attacks.gate:
        return ()
    mine, theirs = red_team(
        history, [challenger, champion], frauds=attacks.gate_frauds, since_us=since_us, black_box=False
    )
    through = [
        (one.cost <= attacks.gate_cost, other.cost <= attacks.gate_cost)
        for one, other in zip(mine, theirs, strict=True)
    ]
    count = EvasionCount(
        attacks.gate_cost,
        len(through),
        both=through.count((True, True)),
        challenger_only=through.count((True, False)),
        champion_only=through.count((False, True)),
    )
    return (evasion(count, attacks.gate_margin),)
