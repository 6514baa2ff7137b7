import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.clock import DAY_US
from fraud.evaluation.weighted import effective_sample_size
from fraud.training.splits import walk_forward
from fraud.training.weights import draws_of, inverse_propensity, recency
from tests.training.made import made_settings


@given(
    st.integers(20_000 * DAY_US, 30_000 * DAY_US),
    *[st.integers(1, 60) for _ in range(5)],
)
def test_spans_walk_forward_without_overlap_and_end_where_labels_have_matured(
    cut_us: int, maturity: int, embargo: int, calibration: int, evidence: int, window: int
) -> None:
    settings = made_settings(embargo=f"{embargo}d", calibration=f"{calibration}d", evidence=f"{evidence}d")
    labels = settings.labels.model_copy(update={"maturity": maturity * DAY_US})
    settings = settings.model_copy(update={"labels": labels})
    spans = walk_forward(settings, cut_us, window * DAY_US)
    assert spans.evidence.end_us == cut_us - maturity * DAY_US
    assert spans.calibration.end_us == spans.evidence.start_us
    assert spans.calibration.start_us - spans.train.end_us == embargo * DAY_US
    lengths = [span.end_us - span.start_us for span in (spans.train, spans.calibration, spans.evidence)]
    assert lengths == [window * DAY_US, calibration * DAY_US, evidence * DAY_US]


def test_without_an_embargo_of_its_own_the_gap_is_the_maturity() -> None:
    settings = made_settings(embargo=None)
    spans = walk_forward(settings, 1_000 * DAY_US, DAY_US)
    assert spans.calibration.start_us - spans.train.end_us == settings.labels.maturity


def test_an_event_is_in_one_span_at_most_borders_included() -> None:
    spans = walk_forward(made_settings(embargo="0s"), 1_000 * DAY_US, 30 * DAY_US)
    ends = [spans.train, spans.calibration, spans.evidence]
    times = np.array([t + d for span in ends for t in (span.start_us, span.end_us) for d in (-1, 0, 1)])
    assert np.sum([span.holds(times) for span in ends], axis=0).max() == 1


def test_a_fresh_verdict_teaches_or_its_card_judges_and_none_does_both() -> None:
    settings = made_settings(fresh={"apart": 0.3})
    cut_us = 1_000 * DAY_US
    spans = walk_forward(settings, cut_us, 30 * DAY_US)
    assert spans.fresh is not None
    assert (spans.train.end_us, spans.fresh.end_us) == (spans.calibration.start_us, cut_us)
    ends = [spans.train, spans.calibration, spans.evidence, spans.fresh]
    times = np.array([t + d for span in ends for t in (span.start_us, span.end_us) for d in (-1, 0, 1)])
    for apart in (np.zeros(len(times), np.bool_), np.ones(len(times), np.bool_)):
        judged = spans.evidence.holds(times) & apart
        roles = [spans.teaches(times, apart), spans.calibrates(times, apart), judged]
        assert np.sum(roles, axis=0).max() == 1
        assert bool(roles[0][times == cut_us - 1].all()) is not apart[0]
    assert not spans.teaches(np.array([cut_us]), np.array([False])).any()


def test_draws_are_uniform() -> None:
    ids = pl.Series([f"t-{i}" for i in range(100_000)])
    draws = draws_of(ids)
    counts = np.histogram(draws, bins=50, range=(0, 1))[0]
    assert ((counts - 2_000) ** 2 / 2_000).sum() < 95  # chi square, 49 degrees of freedom, p = .0001
    assert draws[70_000] == draws_of(pl.Series(["t-70000"]))[0]
    assert len(draws_of(pl.Series([], dtype=pl.String))) == 0


def slow_draw(transaction_id: str) -> float:
    """FNV-1a and the finaliser of SplitMix64 as their authors write them, in plain integers."""
    hashed = 0xCBF29CE484222325
    for letter in transaction_id.encode():
        hashed = (hashed ^ letter) * 0x100000001B3 % 2**64
    hashed = (hashed ^ (hashed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    hashed = (hashed ^ (hashed >> 27)) * 0x94D049BB133111EB % 2**64
    return ((hashed ^ (hashed >> 31)) >> 11) / 2**53


@given(st.lists(st.text(max_size=9), min_size=1, max_size=20))
def test_draws_are_the_published_hash_whatever_stands_beside_them(ids: list[str]) -> None:
    assert draws_of(pl.Series(ids)).tolist() == [slow_draw(transaction_id) for transaction_id in ids]


def test_recency_halves_with_each_half_life_and_none_leaves_ones() -> None:
    times = np.array([0, 10, 20, 30]) * DAY_US
    weights = recency(times, 30 * DAY_US, 10 * DAY_US)
    assert weights.tolist() == [0.125, 0.25, 0.5, 1.0]
    assert recency(times, 30 * DAY_US, None).tolist() == [1, 1, 1, 1]


@given(st.lists(st.floats(0.001, 1.0), min_size=1))
def test_inverse_propensities_are_clipped_at_ten(propensity: list[float]) -> None:
    weights = inverse_propensity(np.array(propensity))
    assert np.all((weights >= 1) & (weights <= 10))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_the_effective_sample_size_lies_between_one_and_the_rows(weights: list[float]) -> None:
    assert 1 - 1e-9 <= effective_sample_size(np.array(weights)) <= len(weights) * (1 + 1e-9)
    assert effective_sample_size(np.empty(0)) == 0
    assert effective_sample_size(np.full(7, 3.0)) == pytest.approx(7)
