"""What is hidden with a score: everything that moves when the score moves and the band does not."""

from hypothesis import given
from hypothesis import strategies as st

from fraud.serving.bands import HIDDEN, band_of, veiled
from fraud.settings.access import Bands
from fraud.v1.scoring_pb2 import Decision, Reason

CUTS = Bands(medium=100, high=500, very_high=900)
SHOWN = {
    "transaction_id", "outcome", "reasons", "version", "policy_version", "limits", "model", "event_time_us",
    "arrival_time_us", "amount_minor", "currency", "band",
}  # fmt: skip


def test_every_field_of_a_decision_is_either_shown_or_hidden() -> None:
    assert set(Decision.DESCRIPTOR.fields_by_name) == SHOWN | set(HIDDEN)


@given(st.integers(0, 999), st.integers(0, 999))
def test_a_band_never_falls_as_the_score_rises(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert band_of(low, CUTS) <= band_of(high, CUTS)


def test_a_band_begins_at_its_cut_off() -> None:
    assert [band_of(score, CUTS) for score in (0, 99, 100, 499, 500, 899, 900, 999)] == [
        1, 1, 2, 2, 3, 3, 4, 4,
    ]  # fmt: skip


decisions = st.builds(
    Decision,
    transaction_id=st.just("t"),
    score=st.floats(0, 1),
    risk_score=st.integers(500, 899),
    explored=st.booleans(),
    propensity=st.floats(0, 1),
    rule=st.text(max_size=5),
    reasons=st.just([Reason(code="C")]).map(list),
)


@given(decisions, decisions, st.floats(-1, 1), st.text(max_size=5))
def test_two_decisions_of_one_band_look_alike(
    one: Decision, other: Decision, contribution: float, text: str
) -> None:
    other.reasons[0].contribution, other.reasons[0].text, other.reasons[0].feature = contribution, text, text
    assert veiled(one, CUTS) == veiled(other, CUTS)


def test_without_a_champion_there_is_no_band() -> None:
    assert veiled(Decision(transaction_id="t"), CUTS).band == 0
