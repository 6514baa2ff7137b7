from typing import Any

from fraud.adversary.chronicle import Chronicle, Happening
from fraud.guard.finding import Finding
from fraud.labels.exclusions import Exclusion
from fraud.registry.chain import LedgerEntry

SUSPECT = Exclusion("labels", batch_id="processor-1")
FINDING = Finding("batch_size", "processor-1", 20.0, 3.0, "too many frauds", "freeze", SUSPECT)


def _entry(kind: str, body: dict[str, Any], actor: str = "retrainer", reason: str = "") -> LedgerEntry:
    return LedgerEntry(1, 0, kind, actor, reason, body, "", "")


def _told(chronicle: Chronicle, *entries: LedgerEntry) -> list[Happening]:
    return [it for entry in entries for it in chronicle.tell(entry, 3)]


def _guard(*findings: Finding, frozen: bool) -> LedgerEntry:
    return _entry("GuardReported", {"findings": [it.to_dict() for it in findings], "frozen": frozen})


def _verdict(answer: str) -> LedgerEntry:
    report = {"reason": "refresh: recall not lower; the champion is old"}
    return _entry("VerdictGiven", {"version": "card-2", "verdict": answer, "report": report})


def test_a_promotion_and_a_rollback_change_the_champion() -> None:
    chronicle = Chronicle()
    _told(chronicle, _entry("Promoted", {"version": "card-2"}))
    assert chronicle.champion == "card-2"
    body = {"version": "card-1", "expected": "card-2"}
    (told,) = _told(chronicle, _entry("RolledBack", body, "operator", "tainted"))
    assert chronicle.champion == told.version == "card-1"
    assert told == Happening(
        3, "rollback", "rolled back from card-2 to card-1, by operator: tainted", "card-1"
    )


def test_emergencies_are_told_apart_from_the_schedule() -> None:
    told = _told(
        Chronicle(),
        _entry("CycleStarted", {"trigger": "schedule"}, reason="schedule"),
        _entry("CycleStarted", {"trigger": "misses"}, reason="12 misses"),
        _entry("CycleStarted", {}, reason="asked"),
    )
    assert [it.kind for it in told] == ["retrain", "emergency", "retrain"]
    assert "12 misses" in told[1].text


def test_a_verdict_is_told_again_only_when_it_has_changed() -> None:
    chronicle = Chronicle()
    registered = _entry("VersionRegistered", {"version": "card-2", "recipe": "full"})
    told = _told(
        chronicle, registered, _verdict("INCONCLUSIVE"), _verdict("INCONCLUSIVE"), _verdict("PROMOTE")
    )
    assert [it.text for it in told] == [
        f"{answer} card-2 (full): refresh: recall not lower" for answer in ("INCONCLUSIVE", "PROMOTE")
    ]


def test_a_freeze_names_its_suspects_until_the_data_is_fit_again() -> None:
    chronicle = Chronicle()
    told = _told(chronicle, _guard(FINDING, frozen=True), _guard(FINDING, frozen=True))
    assert [it.kind for it in told] == ["freeze"]
    assert chronicle.frozen
    assert chronicle.suspects == (("too many frauds", SUSPECT),)
    (over,) = _told(chronicle, _guard(frozen=False))
    assert "training goes on" in over.text
    assert not chronicle.frozen
    assert chronicle.suspects == ()


def test_a_finding_that_was_passed_over_is_noted_and_freezes_nothing() -> None:
    chronicle = Chronicle()
    (told,) = _told(chronicle, _guard(FINDING, frozen=False))
    assert told.kind == "note"
    assert chronicle.suspects == ()
