"""The slow, obvious definition of every feature: plain loops over the earlier entries.

Nothing here is shared with the kernel but the settings and the conflict rule.
What a view hides is not there: a hidden transaction is answered and forgotten, a
hidden or retracted label does not stand. An event counts in a window when its
hop lies in the window and is among the H newest hops of its entity; a fraud when
a verdict stands that was reported while its transaction was within reach, or that
came first and waited no longer than that; a decline when it arrived before the event
that asks, or before any later one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule, LabelFact
from fraud.records import LabelsSubmitted, LabelValue
from fraud.settings.features import EntityFeatures, FraudRate, Steps, Window

NAN = math.nan
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Event:
    transaction_id: str
    time_us: int
    amount: int
    surrogates: tuple[int, ...]
    numerics: tuple[float, ...]
    arrival_us: int
    declined: bool
    facts: list[LabelFact] = field(default_factory=list)
    is_fraud: bool = False


@dataclass
class Answer:
    features: dict[str, float]
    is_new: list[bool]
    is_late: bool


class Oracle:
    def __init__(self, spec: FeatureSpec, rule: ConflictRule, view: View | None = None) -> None:
        self.spec = spec
        self.rule = rule
        self.view = view or View()
        self.retracted: set[str] = set()
        self.log: list[Event] = []
        self.waiting: list[tuple[str, LabelFact, int]] = []

    def score(self, event: Event) -> Answer:
        answer = self.peek(event)
        if self._hidden(event):
            return answer
        self.log.append(event)
        for transaction_id, fact, since_us in self.waiting:
            within_reach = since_us == 0 or since_us >= self._newest_us() - self.spec.reach_us
            if transaction_id == event.transaction_id and within_reach:
                self._report(event, fact)
        self.waiting = [w for w in self.waiting if w[0] != event.transaction_id]
        return answer

    def _hidden(self, event: Event) -> bool:
        for it in self.view.transactions:
            inside = it.from_us <= event.time_us < it.to_us
            named = dict(zip(self.spec.entity_names, event.surrogates, strict=True))
            if inside and all(named[entity] == surrogate for entity, surrogate in it.where):
                return True
        return False

    def take_labels(self, submitted: LabelsSubmitted, arrival_us: int = 0) -> tuple[int, int]:
        joined = 0
        origin = (submitted.batch_id, submitted.submitter, arrival_us)
        for label in submitted.labels:
            fact = LabelFact(label.value, submitted.source, label.label_time_us, *origin)
            found = [event for event in self.log if event.transaction_id == label.transaction_id]
            joined += len(found)
            for event in found:
                self._report(event, fact)
            if not found:
                self.waiting.append((label.transaction_id, fact, self._newest_us()))
        return joined, len(submitted.labels) - joined

    def retract(self, batch_id: str) -> None:
        self.retracted.add(batch_id)
        self._recount()

    def see(self, view: View) -> None:
        self.view = view
        self._recount()

    def _recount(self) -> None:
        """Events out of reach stay as they were counted."""
        for event in self.log:
            if event.time_us >= self._newest_us() - self.spec.reach_us:
                event.is_fraud = self._stands_fraud(event)

    def _stands_fraud(self, event: Event) -> bool:
        facts = [fact for fact in event.facts if fact.batch_id not in self.retracted]
        for it in self.view.labels:
            facts = [
                fact
                for fact in facts
                if not (
                    it.batch_id in ("", fact.batch_id)
                    and it.source in ("", fact.source)
                    and it.submitter in ("", fact.submitter)
                    and it.from_us <= fact.arrival_us < it.to_us
                )
            ]
        return self.rule.standing(facts) is LabelValue.FRAUD

    def _newest_us(self) -> int:
        return max((earlier.time_us for earlier in self.log), default=0)

    def _report(self, event: Event, fact: LabelFact) -> None:
        if event.time_us >= self._newest_us() - self.spec.reach_us:
            event.facts.append(fact)
            event.is_fraud = self._stands_fraud(event)

    def peek(self, event: Event) -> Answer:
        features = {"amount": event.amount / 100, **self._calendar(event.time_us)}
        features |= dict(zip(self.spec.numeric_names, event.numerics, strict=True))
        is_new, is_late = [], False
        for kind, entity in enumerate(self.spec.entities):
            who = event.surrogates[kind]
            held = 0 <= who < self.spec.entities_max
            past = [earlier for earlier in self.log if held and earlier.surrogates[kind] == who]
            is_new.append(who >= 0 and not past)
            is_late |= any(event.time_us < earlier.time_us for earlier in past)
            of_entity = self._entity(kind, entity, past, event)
            features |= {name: value if who >= 0 else NAN for name, value in of_entity.items()}
        return Answer(features, is_new, is_late)

    def _calendar(self, time_us: int) -> dict[str, float]:
        local = (EPOCH + timedelta(microseconds=time_us)).astimezone(ZoneInfo(self.spec.timezone))
        start, end = self.spec.night_hours
        hours = range(start, end) if start <= end else (*range(start, 24), *range(end))
        every = {
            "hour": local.hour,
            "day_of_week": local.weekday(),
            "weekend": float(local.weekday() >= 5),
            "night": float(local.hour in hours),
        }
        return {name: every[name] for name in self.spec.calendar}

    def _entity(
        self, kind: int, entity: EntityFeatures, past: Sequence[Event], event: Event
    ) -> dict[str, float]:
        name = self.spec.entity_names[kind]
        features: dict[str, float] = {}
        for window in entity.windows:
            inside = [earlier for earlier in past if self._in_window(window, earlier, past, event)]
            amounts = [earlier.amount for earlier in inside]
            small = [amount for amount in amounts if amount <= (entity.small_amount_minor or 0)]
            declined = [
                earlier for earlier in inside if earlier.declined and earlier.arrival_us < event.arrival_us
            ]
            tallies = {"small_count": len(small), "declined_count": len(declined)}
            for aggregate in entity.aggregates:
                value = (
                    tallies[aggregate]
                    if aggregate in tallies
                    else _aggregate(aggregate, amounts, event.amount)
                )
                features[f"{name}_{aggregate}_{window.name}"] = value
            for other in entity.distinct:
                features[f"{name}_distinct_{other}_{window.name}"] = self._distinct(
                    window, other, past, event
                )
        newest_us = max((earlier.time_us for earlier in past), default=math.inf)
        first_us = min((earlier.time_us for earlier in past), default=math.inf)
        if "previous" in entity.since:
            late = event.time_us < newest_us
            features[f"{name}_since_previous_s"] = NAN if late else (event.time_us - newest_us) / 1e6
        if "first" in entity.since:
            before = event.time_us < first_us
            age_us = NAN if before else min(event.time_us - first_us, self.spec.age_max_us)
            features[f"{name}_age_s"] = age_us / 1e6
        if entity.steps is not None:
            over, run = self._steps(entity.steps, past, event)
            features |= {f"{name}_amount_over_previous": over, f"{name}_steps": run}
        for rate in entity.fraud_rates:
            features[f"{name}_fraud_rate_{rate.name}"] = self._rate(entity, rate, past, event)
        return features

    def _steps(self, steps: Steps, past: Sequence[Event], event: Event) -> tuple[float, float]:
        """Walk the whole past: an event counts when it is as new as all before it."""
        on_time = [e for i, e in enumerate(past) if all(e.time_us >= before.time_us for before in past[:i])]
        if on_time and event.time_us < on_time[-1].time_us:
            return NAN, NAN
        run = 0
        for before, after in pairwise([*on_time, event]):
            soon = after.time_us - before.time_us <= steps.within
            ladder = before.amount <= after.amount <= Fraction(str(steps.ratio)) * before.amount
            run = run + 1 if soon and ladder else 0
        previous = on_time[-1].amount if on_time else 0
        return event.amount / previous if previous else NAN, run

    def _in_window(self, window: Window, earlier: Event, past: Sequence[Event], event: Event) -> bool:
        hop = earlier.time_us // window.hop
        newest = max(e.time_us for e in past) // window.hop
        hops = math.ceil(window.width / window.hop) + 1
        low = (event.time_us - window.width) // window.hop
        return low <= hop <= event.time_us // window.hop and hop > newest - hops

    def _distinct(self, window: Window, other: str, past: Sequence[Event], event: Event) -> float:
        kind = self.spec.entity_names.index(other)
        start_us = (event.time_us - window.width) // window.hop * window.hop
        values = {e.surrogates[kind] for e in past if e.time_us >= start_us and e.surrogates[kind] >= 0}
        m = self.spec.distinct_buckets
        empty = m - len({_hash(value) * m // 2**32 for value in values})
        return m * math.log(m / max(empty, 1))

    def _rate(self, entity: EntityFeatures, rate: FraudRate, past: Sequence[Event], event: Event) -> float:
        reaches = [math.ceil((r.width + r.delay) / r.hop) for r in entity.fraud_rates if r.hop == rate.hop]
        hops = max(reaches) + 1
        newest = max((e.time_us for e in past), default=0) // rate.hop
        end_us = event.time_us - rate.delay
        low, end = (end_us - rate.width) // rate.hop, end_us // rate.hop
        inside = [
            e for e in past if low <= e.time_us // rate.hop < end and e.time_us // rate.hop > newest - hops
        ]
        frauds = sum(e.is_fraud for e in inside)
        return frauds / len(inside) if inside else NAN


def _aggregate(name: str, amounts: Sequence[int], amount: int) -> float:
    n, total = len(amounts), sum(amounts)
    if name == "count":
        return n
    if name == "sum":
        return total / 100
    if n == 0:
        return NAN
    if name == "mean":
        return total / n / 100
    if name == "max":
        return max(amounts) / 100
    if name == "amount_over_mean":
        return amount / (total / n) if total else NAN
    if n < 2:
        return NAN
    mean = Fraction(total, n)
    return math.sqrt(sum((x - mean) ** 2 for x in amounts) / (n - 1)) / 100


def _hash(value: int) -> int:
    """fmix32 of MurmurHash3 (Austin Appleby, public domain)."""
    value ^= value >> 16
    value = value * 0x85EBCA6B % 2**32
    value ^= value >> 13
    value = value * 0xC2B2AE35 % 2**32
    return value ^ value >> 16
