"""The gate's evasion check: both sides attacked with frauds that neither learned from.

frauds that neither has seen ─ one fold of the past ─▶ scenes ─▶ champion, once │ each challenger ─▶ check
"""

from fraud.attacks.campaign import Result, Scene
from fraud.bundle.bundle import Bundle
from fraud.gate.checks import Check
from fraud.gate.evasion import EvasionCount, evasion
from fraud.training.history import History
from fraud.training.redteam import attack_in, scenes_of
from fraud.training.unseen import Unseen

_Frauds = tuple[str, int, tuple[Unseen, Unseen]]


class Evading:
    """The evasion checks of one cycle.

    Challengers to whom the same is unseen share scenes and the champion's results: a cycle pays for
    one fold of the past and one attack on the champion, however many recipes it has.

    Attacked is with the search of the trees alone, no prober. He learns from card to card, so what he
    gets from one fraud hangs on those before, and the check counts each fraud as a vote by itself.
    That a challenger is easier to probe is seen by `fraud redteam`, not here.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._scenes: dict[_Frauds, list[Scene]] = {}
        self._results: dict[tuple[str, _Frauds], list[Result]] = {}

    def checks(self, challenger: Bundle, champion: Bundle | None, since_us: int) -> tuple[Check, ...]:
        """Return the check on unseen frauds since a moment; none without a champion.

        None either where `attacks.gate` is off. It attacks `attacks.gate_frauds` frauds at most.
        """
        attacks = self._history.settings.attacks
        if champion is None or not attacks.gate:
            return ()
        both = Unseen.by(challenger.manifest), Unseen.by(champion.manifest)
        frauds: _Frauds = challenger.model, since_us, both
        mine, theirs = self._attacked(challenger, frauds), self._attacked(champion, frauds)
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

    def _attacked(self, bundle: Bundle, frauds: _Frauds) -> list[Result]:
        key = bundle.digest, frauds
        if key not in self._results:
            met = self._met(frauds)
            self._results[key] = attack_in(met, self._history, [bundle], black_box=False)[0]
        return self._results[key]

    def _met(self, frauds: _Frauds) -> list[Scene]:
        if frauds not in self._scenes:
            model, since_us, unseen = frauds
            most = self._history.settings.attacks.gate_frauds
            _, met = scenes_of(self._history, model, frauds=most, since_us=since_us, unseen=unseen)
            self._scenes[frauds] = list(met)
        return self._scenes[frauds]
