"""How far a repair has come, told from both logs alone."""

from typing import Any

from fraud.labels.exclusions import Exclusion, View
from fraud.records import Applied, Entry
from fraud.registry.chain import GENESIS_HASH, LedgerEntry
from fraud.registry.ledger import RegistryState
from fraud.serving.repair_steps import also_hidden_by, described, repair_steps
from tests.registry.entries import registered
from tests.serving.registered import batch_row

DATA = Exclusion("labels", batch_id="bad")
HIDDEN = View((DATA,)).to_text()


class Ledger:
    """A state with the entries that made it."""

    def __init__(self) -> None:
        self.state = RegistryState()
        self.entries: dict[int, LedgerEntry] = {}

    def add(self, kind: str, **body: Any) -> int:
        seq = self.state.seq + 1
        entry = LedgerEntry(seq, seq * 10, kind, "ann", "why", body, self.state.last_hash, GENESIS_HASH)
        self.state.apply(entry)
        self.entries[seq] = entry
        return seq

    def exclude(self, data: Exclusion = DATA, *, muted: bool = False, retrain: bool = True) -> int:
        counts = {"first_position": 1, "labels": 4, "transactions": 0}
        return self.add("DataExcluded", exclusion=data.to_dict(), **counts, muted=muted, retrain=retrain)

    def retrain(self, exclusion: int) -> int:
        """Ask for the retrain after an exclusion, and begin it; return what asked."""
        asked = {"model": "", "cut_position": 1, "cut_time_us": 1, "trigger": "exclusion"}
        request = self.add("RetrainRequested", **asked, exclusion=exclusion)
        self.add("CycleStarted", request_seq=request, models=["card"])
        return request

    def steps(
        self, seq: int, *applied: Applied, promotions_serve: bool = True
    ) -> list[tuple[str, bool, int]]:
        entries = [Entry(n, 1_000 * n, event) for n, event in enumerate(applied, 1)]
        found = repair_steps(
            self.state.exclusion(seq),
            self.state,
            entries,
            self.entries,
            models=("card",),
            kept=frozenset(),
            promotions_serve=promotions_serve,
        )
        return [(step.step, step.done, step.time_us) for step in found]


def view(seq: int, text: str) -> Applied:
    return Applied(seq, "", "", "", text)


def test_nothing_is_done_but_the_record_at_first() -> None:
    ledger = Ledger()
    seq = ledger.exclude()
    assert ledger.steps(seq) == [
        ("recorded", True, 10),
        ("in force", False, 0),
        ("retrain requested", False, 0),
        ("retrained", False, 0),
    ]


def test_it_is_in_force_once_the_scorer_says_so_and_not_by_an_older_entry() -> None:
    ledger = Ledger()
    ledger.add("RetrainRequested", model="", cut_position=1, cut_time_us=1, trigger="by hand")
    seq = ledger.exclude(retrain=False)
    assert ledger.steps(seq, Applied(1, "card", "card-1", "p")) == [
        ("recorded", True, 20),
        ("in force", False, 0),
    ]
    assert ledger.steps(seq, view(1, "all"), view(seq, HIDDEN))[1] == ("in force", True, 2_000)


def test_what_was_hidden_before_is_in_force_at_once() -> None:
    ledger = Ledger()
    first, second = ledger.exclude(retrain=False), ledger.exclude(retrain=False)
    assert ledger.steps(second, view(first, HIDDEN)) == [("recorded", True, 20), ("in force", True, 20)]


def test_what_is_undone_before_it_was_in_force_is_undone_at_once() -> None:
    ledger = Ledger()
    seq = ledger.exclude(retrain=False)
    undone = ledger.add("ExclusionUndone", exclusion=seq)
    assert ledger.steps(seq)[-1] == ("undone", True, 0)
    assert ledger.steps(seq, view(0, "all"))[-1] == ("undone", True, 0)
    assert ledger.steps(seq, view(seq, HIDDEN))[-1] == ("undone", False, 0)
    assert ledger.steps(seq, view(seq, HIDDEN), view(undone, "all"))[-1] == ("undone", True, 2_000)


def test_a_retrain_has_ended_when_what_it_promoted_serves() -> None:
    ledger = Ledger()
    seq = ledger.exclude()
    request = ledger.retrain(seq)
    assert ledger.steps(seq)[2:] == [("retrain requested", True, 20), ("retrained", False, 0)]
    verdicts = [{"model": "card", "version": "card-2", "verdict": "PROMOTE", "reason": "better"}]
    ledger.add("CycleFinished", request_seq=request, verdicts=verdicts, seconds=1.0)
    assert ledger.steps(seq, promotions_serve=False)[3] == ("retrained", False, 0)
    assert ledger.steps(seq)[3] == ("retrained", True, 40)


def test_a_retrain_that_made_no_version_says_so() -> None:
    ledger = Ledger()
    seq = ledger.exclude()
    request = ledger.retrain(seq)
    frozen = [{"model": "card", "version": "", "verdict": "FROZEN", "reason": "too much at once"}]
    ledger.add("CycleFinished", request_seq=request, verdicts=frozen, seconds=1.0)
    assert ledger.steps(seq)[3] == ("not trained", True, 40)


def test_a_muting_condemns_and_retrains_nothing() -> None:
    ledger = Ledger()
    seq = ledger.exclude(muted=True, retrain=False)
    assert [step for step, _, _ in ledger.steps(seq)] == ["recorded", "in force"]


def test_undoing_leaves_out_what_was_still_to_come() -> None:
    ledger = Ledger()
    seq = ledger.exclude()
    undone = ledger.add("ExclusionUndone", exclusion=seq)
    assert ledger.steps(seq, view(seq, HIDDEN)) == [
        ("recorded", True, 10),
        ("in force", True, 1_000),
        ("undone", False, 0),
    ]
    assert ledger.steps(seq, view(seq, HIDDEN), view(undone, "all"))[-1] == ("undone", True, 2_000)


def test_undoing_is_done_at_once_where_another_exclusion_hides_the_same() -> None:
    ledger = Ledger()
    first = ledger.exclude(retrain=False)
    ledger.exclude(retrain=False)
    ledger.add("ExclusionUndone", exclusion=first)
    assert ledger.steps(first, view(first, HIDDEN))[-1] == ("undone", True, 0)


def test_what_other_exclusions_keep_out_is_named_those_that_hide_all_of_it_before_others() -> None:
    ledger = Ledger()
    seq = ledger.exclude()
    ledger.exclude(Exclusion("labels", batch_id="another"))
    assert also_hidden_by(ledger.state.exclusion(seq), ledger.state) == ([], False)
    part = ledger.exclude(Exclusion("labels", submitter="mallory", from_us=5))
    assert also_hidden_by(ledger.state.exclusion(seq), ledger.state) == ([part], False)
    whole = ledger.exclude(muted=True)
    assert also_hidden_by(ledger.state.exclusion(seq), ledger.state) == ([whole], True)
    ledger.add("ExclusionUndone", exclusion=whole)
    ledger.add("ExclusionUndone", exclusion=part)
    assert also_hidden_by(ledger.state.exclusion(seq), ledger.state) == ([], False)


def test_an_exclusion_is_described_for_people() -> None:
    data = Exclusion("transactions", from_us=86_400_000_000, to_us=172_800_000_000, where=(("card", 7),))
    assert described(data) == (
        "transactions from 1970-01-02T00:00:00Z to 1970-01-03T00:00:00Z where card is number 7"
    )
    assert described(Exclusion("labels", source="analyst", submitter="eve")) == (
        "labels of source analyst and submitter eve"
    )


def test_the_champion_of_a_model_that_is_not_configured_is_waited_for_by_nobody() -> None:
    ledger = Ledger()
    for version in ("card-1", "transfer-1"):
        model = version.partition("-")[0]
        batches = [batch_row("bad", "analyst", "ann", 1, labels=1)]
        manifest = {"label_batches": batches, "exclusions": [], "positions": {}}
        ledger.add("VersionRegistered", **registered(version) | {"manifest": manifest})
        ledger.add("Promoted", model=model, version=version, expected="")
    seq = ledger.exclude(retrain=False)
    assert ledger.state.tainted_by("transfer-1") == (seq,)
    (waits,) = [step for step in ledger.steps(seq) if step[0] == "rolled back"]
    assert waits == ("rolled back", False, 0)
