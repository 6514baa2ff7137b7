"""What happened in the loop, in words, from the ledger: retrains, verdicts, promotions, freezes, repairs.

    ledger entries of a day ─▶ Happening(day, kind, text, version) …

Nothing is told that no entry says. What the guard notes or freezes for is told once per check and
subject, a verdict on a version again only when it has changed: the rest is no news.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fraud.guard.finding import Finding
from fraud.labels.exclusions import Exclusion
from fraud.registry.chain import LedgerEntry
from fraud.registry.cycles import EMERGENCIES

Kind = Literal[
    "attack",
    "probing",
    "retrain",
    "emergency",
    "verdict",
    "promotion",
    "freeze",
    "note",
    "operator",
    "rollback",
    "failure",
]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened at the end of a day (0 is the first); `version` is "" where none is meant."""

    day: int
    kind: Kind
    text: str
    version: str = ""


class Chronicle:
    """Turns the ledger of one model into happenings. Mutable, one owner."""

    def __init__(self) -> None:
        self._recipes: dict[str, str] = {}
        self._verdicts: dict[str, str] = {}
        self._known: set[tuple[str, str]] = set()
        self.champion = ""
        self.frozen = False
        """Whether the guard's last report keeps training from going on."""
        self.suspects: tuple[tuple[str, Exclusion], ...] = ()
        """Why it is frozen, and what to leave out so that it is not."""

    def tell(self, entry: LedgerEntry, day: int) -> Iterator[Happening]:
        """Take the next entry and yield what it says of a day."""
        body = entry.body
        match entry.kind:
            case "CycleStarted":
                yield self._started(entry, day)
            case "VersionRegistered":
                self._recipes[body["version"]] = body["recipe"]
            case "VerdictGiven":
                yield from self._verdict(body, day)
            case "CycleFailed" if not body.get("stopped"):
                yield Happening(day, "failure", f"retrain failed: {body['error']}")
            case "GuardReported":
                yield from self._guard(body, day)
            case "Promoted":
                self.champion = body["version"]
                yield Happening(day, "promotion", f"{self.champion} is champion", self.champion)
            case "RolledBack":
                self.champion = body["version"]
                by = f"by {entry.actor}: " if entry.actor else ""
                text = f"rolled back from {body['expected'] or 'none'} to {self.champion or 'none'}, {by}"
                yield Happening(day, "rollback", f"{text}{entry.reason}", self.champion)
            case "DataExcluded":
                text = f"{entry.actor} excluded {body['labels']} labels: {entry.reason}"
                yield Happening(day, "operator", text)

    def _started(self, entry: LedgerEntry, day: int) -> Happening:
        trigger = entry.body.get("trigger", "")
        if trigger in EMERGENCIES:
            return Happening(day, "emergency", f"emergency retrain: {entry.reason}")
        return Happening(day, "retrain", f"retrain: {entry.reason}")

    def _verdict(self, body: dict[str, Any], day: int) -> Iterator[Happening]:
        version, verdict = body["version"], body["verdict"]
        if self._verdicts.get(version) == verdict:
            return
        self._verdicts[version] = verdict
        recipe = self._recipes.get(version, "")
        reason = str(body["report"].get("reason", "")).partition(";")[0]
        yield Happening(day, "verdict", f"{verdict} {version} ({recipe}): {reason}", version)

    def _guard(self, body: dict[str, Any], day: int) -> Iterator[Happening]:
        was, self.frozen = self.frozen, bool(body["frozen"])
        findings = [Finding.from_dict(it) for it in body["findings"]]
        stopping = [it for it in findings if it.action == "freeze" and self.frozen]
        self.suspects = tuple((it.reason, it.suspect) for it in stopping if it.suspect is not None)
        for finding in findings:
            key = (finding.check, finding.subject)
            if key not in self._known:
                self._known.add(key)
                freezes = finding in stopping
                head = "guard froze training" if freezes else "guard notes"
                yield Happening(day, "freeze" if freezes else "note", f"{head}: {finding.reason}")
        if was and not self.frozen:
            yield Happening(day, "note", "guard: the data is fit again, training goes on")
