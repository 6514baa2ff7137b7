"""The loop as a fold: what happened is counted, by model, and the same however often it is read."""

from typing import Any

import pytest

from fraud.registry.chain import LedgerEntry
from fraud.registry.loop import REASONS, LoopCounts, reason_of


def entries() -> list[LedgerEntry]:
    told: list[tuple[str, dict[str, Any]]] = [
        ("CycleStarted", {"models": ["card", "transfer"]}),
        ("VersionRegistered", {"model": "card"}),
        ("VerdictGiven", {"model": "card", "verdict": "PROMOTE", "way": "superiority", "report": {}}),
        ("Promoted", {"model": "card"}),
        (
            "CycleFinished",
            {
                "verdicts": [{"model": "transfer", "verdict": "FROZEN"}],
                "trained": ["card"],
                "seconds": 7.5,
            },
        ),
        ("CycleStarted", {"models": ["card"]}),
        ("CycleStarted", {"models": ["card"]}),
        ("CycleFailed", {"error": "no disk"}),
        ("RolledBack", {"model": "card"}),
        ("DataExcluded", {}),
        ("CycleStarted", {"models": ["card"]}),
        ("CycleFailed", {"error": "told to stop", "stopped": True}),
    ]
    return [
        LedgerEntry(i + 1, 100 * (i + 1), kind, "a", "", body, "", "") for i, (kind, body) in enumerate(told)
    ]


def counted(parts: int) -> LoopCounts:
    counts = LoopCounts()
    for entry in entries()[:parts]:
        counts.apply(entry)
    return counts


def test_each_end_of_a_retrain_but_a_stop_counts_once_for_each_model() -> None:
    counts = counted(12)
    assert dict(counts.retrains) == {
        ("card", "finished"): 1,
        ("transfer", "frozen"): 1,
        ("card", "failed"): 1,
    }
    assert (counts.last["card"].result, counts.last["card"].time_us) == ("failed", 800)
    assert (counts.last["transfer"].result, counts.last["transfer"].seconds) == ("frozen", 7.5)
    # A failure leaves the last success, and a frozen retrain is none.
    assert counts.succeeded_us == {"card": 500}


def test_what_was_promoted_and_rolled_back_is_counted_with_its_time() -> None:
    counts = counted(12)
    assert (counts.promotions["card"], counts.rollbacks["card"], counts.versions["card"]) == (1, 1, 1)
    assert (counts.promoted_us, counts.rolled_back_us) == ({"card": 400}, {"card": 900})
    assert counts.reasons["card", "PROMOTE", "superiority"] == 1
    assert counts.seq == 12


@pytest.mark.parametrize(
    ("verdict", "way", "failed", "reason"),
    [
        ("PROMOTE", "refresh", [], "refresh"),
        ("PROMOTE", "a way nobody knows", [], "undecided"),
        ("REJECT", "", ["superiority", "risk_990", "inferiority"], "risk_scale"),
        ("REJECT", "", ["slice_channel=web"], "slices"),
        ("REJECT", "", ["plugged_in"], "undecided"),
        ("INCONCLUSIVE", "", ["evidence_frauds", "superiority"], "evidence_frauds"),
        ("INCONCLUSIVE", "", ["superiority"], "undecided"),
    ],
)
def test_a_verdict_is_counted_under_its_way_or_the_first_bound_it_missed(
    verdict: str, way: str, failed: list[str], reason: str
) -> None:
    report = {
        "checks": [{"name": "win_share", "passed": None}, *({"name": it, "passed": False} for it in failed)]
    }
    assert reason_of(verdict, way, report) == reason
    assert reason in REASONS


def test_a_retrain_that_made_no_version_is_no_success_whatever_waits_before_the_gate() -> None:
    counts = LoopCounts()
    waits = {"model": "card", "verdict": "INCONCLUSIVE"}
    told: list[tuple[str, dict[str, Any]]] = [
        ("CycleStarted", {"models": ["card"]}),
        ("CycleFinished", {"verdicts": [waits], "trained": [], "seconds": 1.0}),
    ]
    for i, (kind, body) in enumerate(told, 1):
        counts.apply(LedgerEntry(i, i, kind, "a", "", body, "", ""))
    assert counts.last["card"].result == "untrained"
    assert counts.succeeded_us == {}
