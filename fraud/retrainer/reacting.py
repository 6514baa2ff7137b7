"""Watches for what asks for a retrain, and shows what the budget of emergencies still allows.

    new_frauds        when labels have come (`new_frauds`)
    misses            at most every `monitoring.quality_every`, when labels have come or a cycle has started
    value_detection   whenever realised quality is judged anew (`realised`)
    probing           whenever the last day was looked at (`probing`)
      ─▶ counts and alarms for `fraud.retrainer.triggers.due`, which alone decides

Only what `[training.triggers]` asks for is computed.
"""

import time
from collections.abc import Iterator

from fraud.monitoring.metrics import Labels
from fraud.monitoring.probing import Probe
from fraud.registry.cycles import EMERGENCIES, TRIGGERS, trained_us
from fraud.registry.ledger import RegistryState
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.misses import Burst, Reign, judge_misses, misses_of
from fraud.retrainer.new_frauds import NewFrauds
from fraud.retrainer.probing import ProbingWatch
from fraud.retrainer.realised import QualityWatch
from fraud.retrainer.triggers import Alarm, budget_of
from fraud.retrainer.trusting import trust_in
from fraud.training.history import History


class ReactionWatch:
    """Keeps the alarms of every model. One owner."""

    def __init__(self, shop: Workshop, quality: QualityWatch, probing: ProbingWatch) -> None:
        self._shop = shop
        self._triggers = shop.settings.training.triggers
        self._quality = quality
        self._probing = probing
        self._looked_at = float("-inf")
        self._known: tuple[object, ...] = ()
        self._bursts: dict[str, tuple[Burst, int]] = {}
        self.new_frauds = NewFrauds(shop)

    def turn(self) -> None:
        """Look at what came in, when it is time; the caller holds the archive's files in place."""
        self.new_frauds.turn()
        shop = self._shop
        state = shop.state()
        every_s = shop.settings.monitoring.quality_every / 1e6
        versions = shop.archive.versions()
        # A cycle or another champion changes whose misses count, an exclusion which labels do.
        known = (versions["labels"], versions["retractions"], state.seq)
        waits = time.monotonic() - self._looked_at < every_s
        try:
            if self._triggers.misses is not None and not waits and known != self._known:
                self._looked_at = started = time.monotonic()
                history = shop.history(shop.cut(), state.view())
                shop.each_model(lambda model: self._count_misses(state, history, model))
                self._known = known
                shop.metrics.took("reaction", time.monotonic() - started)
        finally:
            self._show_alarms()

    def _count_misses(self, state: RegistryState, history: History, model: str) -> None:
        rules, reign = self._triggers.misses, state.reign(model)
        self._bursts.pop(model, None)
        burst = None
        if rules is not None and reign is not None and reign.version:
            whose = Reign(reign.version, reign.since_us, trained_us(state.cycles, model))
            trust = trust_in(history, model, state.guard_reports.get(model))
            facts = misses_of(history, model, whose, trust, rules)
            burst = judge_misses(facts, rules, self._triggers.submitter_share_max)
        show = self._shop.metrics.catalogue.show
        show("fraud_miss_votes", model, {} if burst is None else {(): burst.votes})
        show("fraud_miss_expected_votes", model, {} if burst is None else {(): burst.expected})
        if burst is not None:
            self._bursts[model] = (burst, history.cut.time_us)

    def alarms(self) -> tuple[Alarm, ...]:
        """Return what alarms now, the surest sign first: confirmed misses, lost value, probing."""
        return tuple(self._alarms())

    def _alarms(self) -> Iterator[Alarm]:
        for model, (burst, seen_us) in self._bursts.items():
            if burst.alarming:
                yield Alarm("misses", model, f"{model}: {burst.reason}", seen_us)
        for model, (fall, seen_us) in self._quality.falls.items():
            if fall.alarming:
                yield Alarm("value_detection", model, f"{model}: {fall.reason}", seen_us)
        for model, (probes, seen_us) in self._probing.found.items():
            alarming = [it for it in probes if it.alarming]
            if alarming and self._triggers.probing:
                yield Alarm("probing", model, f"{model}: {in_words(alarming)}", seen_us)

    def _show_alarms(self) -> None:
        now = {(it.trigger, it.model) for it in self.alarms()}
        for model in self._shop.settings.models:
            shown: dict[Labels, float] = {(it,): float((it, model) in now) for it in EMERGENCIES}
            self._shop.metrics.catalogue.show("fraud_trigger_active", model, shown)

    def observe(self, state: RegistryState) -> None:
        """Show the budget of emergencies, and why the last cycle started."""
        gauge = self._shop.metrics.catalogue.gauge
        budget = budget_of(self._triggers, state.cycles, self._shop.clock.now_us())
        gauge("fraud_emergency_used_retrains").set(budget.used)
        gauge("fraud_emergency_left_retrains").set(budget.left)
        last = state.cycles[-1].trigger if state.cycles else ""
        for trigger in TRIGGERS:
            gauge("fraud_retrain_last_trigger").labels(trigger).set(trigger == last)


def in_words(probes: list[Probe]) -> str:
    """Say who probes how."""
    said = {
        "ladder": "climb in small steps",
        "trial": "try a small sum and then a large one",
        "declines": "are declined again and again",
        "small": "make many small payments",
    }
    parts = [
        f"{it.entities} of kind {it.kind} {said[it.pattern]} ({it.expected:.1f} expected)" for it in probes
    ]
    return "; ".join(parts)
