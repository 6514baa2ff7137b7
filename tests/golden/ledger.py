"""One entry of each kind for the golden ledger, as the service writes them, and what the fold says of them.

asked for ─ cycle ─ guard ─ three versions ─ verdicts ─▶ card-1 promoted, card-3 dropped
  ─▶ cycles that stop and fail ─▶ card-2 asked for by one, promoted by another, on probation, passed
  ─▶ rolled back to card-1, labels muted, and heard again ─▶ a batch excluded, for good
  ─▶ sentinels, attacks, rules, exploration, a person erased, bundles let go
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.features.spec import FeatureSpec
from fraud.gate.checks import Check
from fraud.gate.probation import Demotion
from fraud.gate.verdict import Verdict
from fraud.guard.finding import Finding
from fraud.labels.exclusions import EVERYTHING, Exclusion
from fraud.policy.rules import Rule
from fraud.records import Outcome
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore, promote, roll_back
from tests.bundle.made import made_bundle

HOUR_US = 3_600_000_000
BEHIND = Exclusion("transactions", from_us=1, to_us=HOUR_US, where=(("card", 1), ("merchant", 0)))
"""Payments of 1970: there are none, so a guard may leave them out."""


@dataclass
class Scribe:
    """Writes entries, one a second; `head` is the last position known, `batch` one that came behind it."""

    store: LedgerStore
    bundles: BundleStore
    spec: FeatureSpec
    head: int
    now_us: int
    batch: str

    def add(self, kind: str, body: Mapping[str, Any], actor: str = "retrainer") -> int:
        """Append an entry; return its number."""
        self.now_us += 1_000_000
        made = self.store.append(kind, dict(body), actor=actor, reason="golden", time_us=self.now_us)
        return made.seq

    def signed(self, actor: str) -> dict[str, Any]:
        """Return what `promote` and `roll_back` want to know of whoever does it."""
        self.now_us += 1_000_000
        return {"actor": actor, "reason": "golden", "time_us": self.now_us}

    def write(self, finding_on: Exclusion) -> None:
        """Write one entry of each kind; card-1 is the champion at the end."""
        asked = self.add(
            "RetrainRequested", self._cut() | {"model": "card", "trigger": "by hand"} | OVERRIDES, "ann"
        )
        self.add("CycleStarted", self._started(asked, "request"))
        self._guard(asked, finding_on)
        digests = [self._register(number) for number in (1, 2, 3)]
        judged = self._judge("card-1", "PROMOTE", "")
        self._judge("card-3", "INCONCLUSIVE", "")
        promote(self.store, "card", "card-1", "", **self.signed("retrainer"), verdict_seq=judged)
        self.add("VersionDropped", {"version": "card-3", "why": "another one was promoted"})
        said = [{"model": "card", "version": "card-1", "verdict": "PROMOTE", "way": "floors", "reason": ""}]
        done = {"request_seq": asked, "verdicts": said, "trained": ["card"], "seconds": 1.5}
        self.add("CycleFinished", done)
        for trigger, why in (("schedule", {"stopped": True}), ("new_frauds", {})):
            self.add("CycleStarted", self._started(None, trigger))
            self.add("CycleFailed", {"request_seq": None, "error": "told to stop", **why})
        self._second_champion()
        self._exclusions()
        self._people()
        self.add("Vacuumed", {"bundles": digests[1:], "files": 2, "bytes": 4_096}, "ann")

    def _second_champion(self) -> None:
        judged = self._judge("card-2", "PROMOTE", "card-1")
        what = {"version": "card-2", "expected": "card-1", "override": ""}
        asked = self._ask("Promote", what)
        body = {"model": "card", "version": "card-2", "expected": "card-1", "probation_us": 24 * HOUR_US}
        self.add("Promoted", body | {"asked": asked, "verdict": judged}, "joe")
        evidence = asdict(Demotion(wins=3, losses=1, log_e=-0.5, required=20.0, value_minor=-700))
        self.add("ProbationEnded", {"model": "card", "version": "card-2", "evidence": evidence}, "probation")
        heard = Exclusion("labels", source="analyst", from_us=self.now_us)
        muted = self._excluding(heard) | {"muted": True, "labels": 0}
        why: dict[str, Any] = {"before_us": self.now_us, "exclusion": 0, "mute": muted}
        seq = roll_back(self.store, "card", "card-1", "card-2", **self.signed("ann"), **why).seq
        self.add("ExclusionUndone", {"exclusion": seq}, "ann")

    def _exclusions(self) -> None:
        data = Exclusion("labels", batch_id=self.batch)
        what = {"exclusion": data.to_dict(), "retrain": True, "replaces": []}
        asked = self._ask("ExcludeData", what)
        seq = self.add("DataExcluded", self._excluding(data) | {"retrain": True, "asked": asked}, "joe")
        self.add("RetrainRequested", self._cut() | {"model": "card", "trigger": "repair", "exclusion": seq})
        self._ask("UndoExclusion", {"exclusion": seq})

    def _people(self) -> None:
        for number, pattern in enumerate(("night", "amount")):
            told = {"transaction_ids": [f"gone-{number}"], "positions": [number + 1], "source": "chargeback"}
            told |= {"champion": "card-1", "caught": 1.0}
            self.add("SentinelAdded", {"model": "card", "pattern": pattern, **told}, "ann")
        self.add("SentinelRetired", {"model": "card", "pattern": "night"}, "ann")
        attack = {"model": "card", "words": {"channel": "moto"}, "since_us": self.now_us}
        over = self.add("AttackConfirmed", attack | {"entities": {"merchant": 3}}, "ann")
        self.add("AttackConfirmed", attack | {"entities": {}}, "ann")
        self.add("AttackEnded", {"attack": over}, "ann")
        rule = Rule("never", "amount > 20000000", Outcome.REVIEW, "after", "more than there is")
        self.add("RulesSet", {"model": "card", "rules": [rule.to_dict()]}, "ann")
        self.add("ExplorationSwitched", {"model": "card", "on": False}, "ann")
        counts = {"transactions": 2, "fields": 1, "comments": 1, "linked": {"device": [900]}}
        self.add("EntityErased", {"entity": "card", "surrogate": 900, **counts}, "ann")

    def _cut(self) -> dict[str, Any]:
        return {"cut_position": self.head, "cut_time_us": self.now_us}

    def _started(self, asked: int | None, trigger: str) -> dict[str, Any]:
        return {
            "request_seq": asked,
            "models": ["card"],
            "cut_position": self.head,
            "trigger": trigger,
        }

    def _guard(self, asked: int, data: Exclusion) -> None:
        finding = Finding("batch_size", "a batch", 9.0, 5.0, "9 times the usual", "drop", data)
        dropped = [{"check": "batch_size", "exclusion": BEHIND.to_dict()}]
        body = {"model": "card", "findings": [finding.to_dict()], "frozen": False, "dropped": dropped}
        body |= {"overridden": ["fraud_rate"], "request_seq": asked}
        self.add("GuardReported", body | self._cut())

    def _register(self, number: int) -> str:
        """Register a version; the bundle of the first one alone is there. Return its digest."""
        bundle = self._bundle(number)
        if number == 1:
            self.bundles.write(bundle)
        body = {
            "version": f"card-{number}",
            "model": "card",
            "recipe": "full",
            "digest": bundle.digest,
            "parent": "",
            "attempt": 1,
            "challengers": 3,
            "manifest": {**bundle.manifest, "archive": {"transactions": 1, "labels": 1}},
        }
        self.add("VersionRegistered", body | self._cut())
        return bundle.digest

    def _bundle(self, number: int) -> Bundle:
        made = made_bundle("card", seed=number)
        batch = {"batch_id": "old", "source": "chargeback", "submitter": "bank", "position": 121, "parts": 1}
        batch |= {"arrival_us": [1, 2], "digest": "0" * 64, "labels": 8, "frauds": 4}
        spans = ("traffic", "train", "calibration")
        told = {
            "cut": {"position": self.head, "time_us": self.now_us},
            "positions": {span: [1, self.head] for span in spans},
            "label_batches": [batch],
            "exclusions": [BEHIND.to_dict()],
            "feature_definitions": {name: self.spec.definitions[name] for name in made.feature_names},
        }
        return replace(made, manifest={**made.manifest, **told})

    def _judge(self, version: str, verdict: Any, against: str) -> int:
        row = Check("recall", 0.75, 0.5, 0.6, 0.9, None if against else True, "enough")
        report = Verdict(verdict, "floors" if verdict == "PROMOTE" else "", (row,), "enough")
        cut = {"position": self.head, "time_us": self.now_us}
        body = {
            "version": version,
            "model": "card",
            "verdict": report.outcome,
            "way": report.way,
            "against": against,
            "unreadable": f"{against} reads a feature that is gone" if against else "",
            "report": report.to_dict(),
            "evidence": {"cut": cut, "view": EVERYTHING.with_([BEHIND]).to_text()},
        }
        return self.add("VerdictGiven", body)

    def _ask(self, method: str, what: Mapping[str, Any]) -> int:
        body = {"method": method, "what": what, "until_us": self.now_us + 24 * HOUR_US}
        return self.add("Asked", body, "ann")

    def _excluding(self, data: Exclusion) -> dict[str, Any]:
        return {
            "exclusion": data.to_dict(),
            "first_position": self.head + 1,
            "labels": 4,
            "transactions": 0,
            "muted": False,
            "retrain": False,
        }


OVERRIDES = {"guard_overrides": ["fraud_rate"]}


def told_by(state: RegistryState) -> dict[str, Any]:
    """Return what a fold says, as JSON: every part that an entry may change, by names of this file's own."""
    return _of_versions(state) | _of_work(state) | _of_data(state)


def _of_versions(state: RegistryState) -> dict[str, Any]:
    return {
        "versions": {
            name: [it.status, it.digest, it.attempt, it.challengers, it.cut_position, it.manifest]
            for name, it in state.versions.items()
        },
        "verdicts": [
            [
                name,
                it.verdict,
                it.way,
                it.against,
                it.view.to_text(),
                it.cut_position,
                it.unreadable,
                it.report,
            ]
            for name, version in state.versions.items()
            for it in version.verdicts
        ],
        "reigns": [[it.version, it.since_us, it.seq] for it in state.reigns("card")],
        "probations": [
            [it.version, it.former, it.until_us, it.result, it.ended_seq, it.evidence]
            for it in state.probations["card"]
        ],
        "vacuumed": state.vacuumed,
    }


def _of_data(state: RegistryState) -> dict[str, Any]:
    return {
        "exclusions": [
            [
                *(seq, it.data.to_dict(), it.first_position, it.labels, it.transactions, it.muted),
                *(it.retrain, it.undone_seq, sorted(it.touched)),
            ]
            for seq, it in state.exclusions.items()
        ],
        "view": state.view().to_text(),
        "sentinels": [
            [*key, list(it.transaction_ids), list(it.positions), it.source, it.champion, it.caught]
            for sets in (state.sentinels, state.retired_sentinels)
            for key, it in sets.items()
        ],
        "attacks": [
            [seq, it.model, dict(it.entities), dict(it.words), it.since_us]
            for seq, it in state.attacks.items()
        ],
        "rules": [it.rules.digest for it in state.rule_sets["card"]],
        "explores": state.explores("card"),
        "erased": [[*key, it.body] for key, it in state.erased.items()],
    }


def _of_work(state: RegistryState) -> dict[str, Any]:
    return {
        "asked": [[seq, it.method, it.what, it.until_us, it.done_seq] for seq, it in state.asked.items()],
        "requests": [
            [
                *(it.seq, it.model, it.trigger, it.cut_position, it.cut_time_us, it.state),
                *(list(it.guard_overrides), it.exclusion, it.finished_us, it.verdicts),
            ]
            for it in state.requests()
        ],
        "cycles": [
            [it.cut_us, it.trigger, it.fruitful, list(it.models), it.ended, list(it.trained), it.request_seq]
            for it in state.cycles
        ],
        "guard": [
            [
                *(it.cut_position, list(it.findings), it.frozen, it.fit_until_us, list(it.overridden)),
                [[check, data.to_dict()] for check, data in it.dropped],
            ]
            for it in state.guard_reports.values()
        ],
    }
