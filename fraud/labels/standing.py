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

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

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

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Read a fact from its fields in order, as JSON gives them back."""
        value, source, time_us, batch_id, submitter, arrival_us = values
        return cls(LabelValue(value), source, int(time_us), batch_id, submitter, int(arrival_us))


Latest = dict[str, tuple[int, int, LabelValue]]
"""Label time in µs, place in log order and value of the latest fact of each source."""


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
        latest: Latest = {}
        for order, fact in enumerate(facts):
            take_latest(latest, order, fact)
        return self.among(latest)

    def among(self, latest: Latest) -> LabelValue | None:
        """Return the verdict that stands among the latest of each source, FRAUD or LEGITIMATE, or None."""
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


def take_latest(latest: Latest, order: int, fact: LabelFact) -> None:
    """Let a fact that comes behind all before it take its place among the latest of each source."""
    known = latest.get(fact.source)
    if known is None or (fact.label_time_us, order) >= known[:2]:
        latest[fact.source] = (fact.label_time_us, order, fact.value)


class LabelBook:
    """Folds labels in log order and knows which verdict stands for each transaction.

    Facts of retracted batches, and those that the view hides, are kept and do
    not count. One of the few holders of change: owned by the feature fold,
    written by its thread alone.

    Each change costs as much as it concerns, since payments wait meanwhile. A
    retraction recounts the transactions of its batch (`_named`: batch → ids, some
    twice), another view those with a fact that comes or goes,
    and a label on a transaction with more than `FACTS_READ` facts goes by the
    latest of each source, which is kept (`_latest`). So a label costs the same
    however many stand on its transaction already. A limit of those would bound
    the work as well, but whoever used it up could keep a better source from
    being heard.
    """

    FACTS_READ = 16
    """With more facts the latest of each source are kept and not looked for."""

    def __init__(self, rule: ConflictRule, view: View | None = None) -> None:
        self.rule = rule
        self.view = view or View()
        self.retracted: set[str] = set()
        self.facts: dict[str, list[LabelFact]] = {}
        self._named: dict[str, list[str]] = {}
        self._latest: dict[str, Latest] = {}

    def restore(self, view: View, retracted: Iterable[str], facts: dict[str, list[LabelFact]]) -> None:
        """Take over what another book held; it keeps `facts`."""
        self.view, self.retracted, self.facts = view, set(retracted), facts
        self._named, self._latest = {}, {}
        for name, held in facts.items():
            for fact in held:
                self._named.setdefault(fact.batch_id, []).append(name)

    def counts(self, fact: LabelFact) -> bool:
        """Tell whether a fact counts now."""
        return self._counted_by(self.view, fact)

    def _counted_by(self, view: View, fact: LabelFact) -> bool:
        return fact.batch_id not in self.retracted and not view.hides_label(
            fact.batch_id, fact.source, fact.submitter, fact.arrival_us
        )

    def standing(self, transaction_id: str) -> LabelValue | None:
        """Return the verdict that stands for a transaction, or None."""
        return self.rule.among(self._latest_of(transaction_id))

    def _latest_of(self, transaction_id: str) -> Latest:
        known = self._latest.get(transaction_id)
        if known is not None:
            return known
        latest: Latest = {}
        every = not self.retracted and not self.view.labels
        for order, fact in enumerate(self.facts.get(transaction_id, ())):
            if every or self.counts(fact):
                take_latest(latest, order, fact)
        return latest

    def see(self, view: View) -> list[tuple[str, int]]:
        """Count by another view from here on; return the transactions whose frauds change, by +1 or −1."""
        return self._recount(self._turned(view), lambda: setattr(self, "view", view))

    def retract(self, batch_id: str) -> list[tuple[str, int]]:
        """Count a batch no more; return the transactions whose frauds change, by +1 or −1."""
        names = () if batch_id in self.retracted else dict.fromkeys(self._named.get(batch_id, ()))
        return self._recount(names, lambda: self.retracted.add(batch_id))

    def _recount(self, names: Collection[str], change: Callable[[], None]) -> list[tuple[str, int]]:
        before = {name: self.standing(name) is LabelValue.FRAUD for name in names}
        change()
        for name in names:
            self._latest.pop(name, None)
        after = {name: self.standing(name) is LabelValue.FRAUD for name in names}
        return [(name, int(after[name]) - int(was)) for name, was in before.items() if after[name] != was]

    def _turned(self, view: View) -> list[str]:
        """Return the transactions with a fact that counts by this view or by another, and not by both."""
        turned: dict[str, None] = {}
        for exclusion in sorted({*self.view.labels} ^ {*view.labels}):
            batch_id = exclusion.batch_id
            for name in self._named.get(batch_id, ()) if batch_id else self.facts:
                for it in self.facts[name]:
                    among = exclusion.hides_label(it.batch_id, it.source, it.submitter, it.arrival_us)
                    if among and self._counted_by(self.view, it) != self._counted_by(view, it):
                        turned[name] = None
        return [*turned]

    def report(self, transaction_id: str, fact: LabelFact) -> int:
        """Add a fact; return the change in frauds: +1, 0 or −1."""
        latest = self._latest_of(transaction_id)
        before = self.rule.among(latest) is LabelValue.FRAUD
        facts = self.facts.setdefault(transaction_id, [])
        if self.counts(fact):
            take_latest(latest, len(facts), fact)
        facts.append(fact)
        self._named.setdefault(fact.batch_id, []).append(transaction_id)
        if len(facts) > self.FACTS_READ:
            self._latest[transaction_id] = latest
        after = self.rule.among(latest) is LabelValue.FRAUD
        return int(after) - int(before)

    def forget(self, transaction_ids: Sequence[str]) -> None:
        """Drop transactions whose labels can no longer change any state."""
        batches: set[str] = set()
        for transaction_id in transaction_ids:
            batches.update(fact.batch_id for fact in self.facts.pop(transaction_id, ()))
            self._latest.pop(transaction_id, None)
        for batch_id in batches:
            kept = [name for name in self._named.pop(batch_id) if name in self.facts]
            if kept:
                self._named[batch_id] = kept
