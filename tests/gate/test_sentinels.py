"""No forgetting: what a challenger must still catch of the frauds that were set apart."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.errors import InvalidInput
from fraud.gate.sentinels import SentinelCount, sentinel
from fraud.gate.verdict import judge
from fraud.settings.learning import Gate
from tests.gate.test_verdict import BETTER, FIRST, OLD, SAME, case

GATE = Gate(bootstrap_rounds=20, calibration_ratio_max=50.0)
TERMINAL = SentinelCount("terminal", rows=30, challenger=12, champion=20, then=25, kept_share=0.8)


@st.composite
def counts(draw: st.DrawFn) -> SentinelCount:
    rows = draw(st.integers(1, 200))
    caught = st.integers(0, rows)
    return SentinelCount(
        pattern=draw(st.sampled_from(["amount", "terminal-2"])),
        rows=rows,
        challenger=draw(caught),
        champion=draw(st.none() | caught),
        then=draw(st.none() | caught),
        kept_share=draw(st.sampled_from([0.05, 0.5, 0.7, 0.8, 0.9, 1.0])),
    )


@given(counts())
def test_whoever_catches_what_the_reference_caught_never_fails(count: SentinelCount) -> None:
    reference = count.reference or 0
    assert sentinel(replace(count, challenger=max(count.challenger, reference))).passed is not False


@given(counts())
def test_whoever_catches_nothing_of_a_known_pattern_fails(count: SentinelCount) -> None:
    passed = sentinel(replace(count, challenger=0)).passed
    assert passed is (None if count.reference is None else count.reference == 0)


@given(counts())
def test_catching_more_never_turns_a_pass_into_a_failure(count: SentinelCount) -> None:
    row = sentinel(count)
    more = sentinel(replace(count, challenger=min(count.rows, count.challenger + 1)))
    assert (row.passed, more.passed) in {(None, None), (False, False), (False, True), (True, True)}


@given(counts())
def test_the_needed_share_of_the_reference_is_exact(count: SentinelCount) -> None:
    hundredths = round(100 * count.kept_share)
    row = sentinel(count)
    if count.reference is not None:
        assert row.passed is (100 * count.challenger >= hundredths * count.reference)


@settings(max_examples=20, deadline=None)
@given(counts())
def test_one_that_forgets_a_pattern_is_rejected_whatever_its_other_figures(count: SentinelCount) -> None:
    forgotten = replace(count, challenger=0, then=max(1, count.then or 0))
    assert judge(case(BETTER), GATE).outcome == "PROMOTE"
    verdict = judge(case(BETTER, sentinels=(forgotten,)), GATE)
    assert (verdict.outcome, verdict.way) == ("REJECT", "")
    assert f"forgot {count.pattern!r}" in verdict.reason


def test_the_reason_counts_and_names_what_was_forgotten() -> None:
    row = sentinel(TERMINAL)
    assert (row.name, row.passed) == ("sentinel_terminal", False)
    assert row.reason == "12 of 30 caught, at least 20 needed; forgot 'terminal'"
    assert row.value == pytest.approx(12 / 30)
    assert row.bound == pytest.approx(20 / 30)


def test_the_larger_of_then_and_now_is_the_reference() -> None:
    assert TERMINAL.needed == 20
    assert replace(TERMINAL, then=None).needed == 16
    assert replace(TERMINAL, champion=30).needed == 24
    assert replace(TERMINAL, champion=None).needed == 20


def test_what_no_champion_ever_caught_cannot_be_forgotten() -> None:
    row = sentinel(replace(TERMINAL, challenger=0, champion=0, then=0))
    assert row.passed is True
    assert "no champion caught any" in row.reason


def test_without_a_champion_it_is_information() -> None:
    count = replace(TERMINAL, champion=None, then=None)
    assert sentinel(count).passed is None
    verdict = judge(case(FIRST, None, sentinels=(count,)), GATE)
    assert verdict.outcome == "PROMOTE"
    assert "12 of 30 caught" in verdict.check("sentinel_terminal").reason


def test_every_pattern_has_a_row_and_one_failure_is_enough() -> None:
    kept = replace(TERMINAL, pattern="amount", challenger=30)
    verdict = judge(case(SAME, OLD, sentinels=(kept, TERMINAL)), GATE)
    assert verdict.outcome == "REJECT"
    assert verdict.check("sentinel_amount").passed is True
    assert verdict.reason == verdict.check("sentinel_terminal").reason
    assert "sentinel_amount" in {row["name"] for row in verdict.to_dict()["checks"]}
    assert judge(case(SAME, OLD, sentinels=(kept,)), GATE).way == "refresh"


@pytest.mark.parametrize("wrong", [{"rows": 0, "challenger": 0}, {"challenger": 31}, {"then": -1}])
def test_a_count_that_cannot_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="sentinels"):
        replace(TERMINAL, **wrong)  # type: ignore[arg-type]
