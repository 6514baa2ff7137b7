"""Which verdict stands when several sources have spoken about one transaction.

    facts of one transaction, in log order
      → those that count: not retracted, not excluded
      → the latest of each source (by label time, then log order); WITHDRAWN removes the source
      → one value by the conflict rule; None when nobody's verdict is left

`LABELER_PRIORITY` takes the best source, `LAST_WRITE_WINS` the latest label
time, `MAJORITY_VOTE` the value of more sources (a tie goes to the best source).
The same rule over a whole table is `fraud.labels.table`; a test holds both
against each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from fraud.labels.exclusions import View
from fraud.records import LabelValue
from fraud.settings.learning import Labels

ConflictPolicy = Literal["LABELER_PRIORITY", "LAST_WRITE_WINS", "MAJORITY_VOTE"]


@dataclass(frozen=True, slots=True)
class LabelFact:
    """One source's verdict as it stands in the log, and with which batch it came."""

    value: LabelValue
    source: str
    label_time_us: int
    batch_id: str = ""
    submitter: str = ""
    arrival_us: int = 0


@dataclass(frozen=True, slots=True)
class ConflictRule:
    """The conflict policy and the sources, best first."""

    policy: ConflictPolicy
    sources: tuple[str, ...]

    @classmethod
    def of(cls, labels: Labels) -> Self:
        """Take the rule from `[labels]`."""
        return cls(labels.conflict, labels.sources)

    def rank(self, source: str) -> int:
        """Return the place of a source, 0 the best; an unknown one comes last."""
        return self.sources.index(source) if source in self.sources else len(self.sources)

    def standing(self, facts: Sequence[LabelFact]) -> LabelValue | None:
        """Return the verdict that stands, FRAUD or LEGITIMATE, or None.

        `facts` are those of one transaction in log order.

        >>> rule = ConflictRule("LABELER_PRIORITY", ("chargeback", "analyst"))
        >>> rule.standing([LabelFact(LabelValue.FRAUD, "analyst", 5)]).name
        'FRAUD'
        """
        latest: dict[str, tuple[int, int, LabelValue]] = {}
        for order, fact in enumerate(facts):
            known = latest.get(fact.source)
            if known is None or (fact.label_time_us, order) >= known[:2]:
                latest[fact.source] = (fact.label_time_us, order, fact.value)
        verdicts = [
            (self.rank(source), source, time_us, order, value)
            for source, (time_us, order, value) in latest.items()
            if value is not LabelValue.WITHDRAWN
        ]
        if not verdicts:
            return None
        best = min(verdicts)[4]
        if self.policy == "LAST_WRITE_WINS":
            return max(verdicts, key=lambda verdict: (verdict[2], verdict[3]))[4]
        if self.policy == "MAJORITY_VOTE":
            frauds = sum(verdict[4] is LabelValue.FRAUD for verdict in verdicts)
            if 2 * frauds != len(verdicts):
                return LabelValue.FRAUD if 2 * frauds > len(verdicts) else LabelValue.LEGITIMATE
        return best


class LabelBook:
    """Folds labels in log order and knows which verdict stands for each transaction.

    Facts of retracted batches, and those that the view hides, are kept and do
    not count. One of the few holders of change: owned by the feature fold,
    written by its thread alone.
    """

    def __init__(self, rule: ConflictRule, view: View | None = None) -> None:
        self.rule = rule
        self.view = view or View()
        self.retracted: set[str] = set()
        self.facts: dict[str, list[LabelFact]] = {}

    def counts(self, fact: LabelFact) -> bool:
        """Tell whether a fact counts now."""
        return fact.batch_id not in self.retracted and not self.view.hides_label(
            fact.batch_id, fact.source, fact.submitter, fact.arrival_us
        )

    def standing(self, transaction_id: str) -> LabelValue | None:
        """Return the verdict that stands for a transaction, or None."""
        facts = self.facts.get(transaction_id)
        if facts is None:
            return None
        if self.retracted or self.view.labels:
            facts = [fact for fact in facts if self.counts(fact)]
        return self.rule.standing(facts)

    def see(self, view: View) -> list[tuple[str, int]]:
        """Count by another view from here on; return the transactions whose frauds change, by +1 or −1."""
        return self._recount(lambda: setattr(self, "view", view))

    def retract(self, batch_id: str) -> list[tuple[str, int]]:
        """Count a batch no more; return the transactions whose frauds change, by +1 or −1."""
        return self._recount(lambda: self.retracted.add(batch_id))

    def _recount(self, change: Callable[[], None]) -> list[tuple[str, int]]:
        before = {name: self.standing(name) is LabelValue.FRAUD for name in self.facts}
        change()
        after = {name: self.standing(name) is LabelValue.FRAUD for name in self.facts}
        return [(name, int(after[name]) - int(was)) for name, was in before.items() if after[name] != was]

    def report(self, transaction_id: str, fact: LabelFact) -> int:
        """Add a fact; return the change in frauds: +1, 0 or −1."""
        before = self.standing(transaction_id) is LabelValue.FRAUD
        self.facts.setdefault(transaction_id, []).append(fact)
        after = self.standing(transaction_id) is LabelValue.FRAUD
        return int(after) - int(before)

    def forget(self, transaction_ids: Sequence[str]) -> None:
        """Drop transactions whose labels can no longer change any state."""
        for transaction_id in transaction_ids:
            self.facts.pop(transaction_id, None)
