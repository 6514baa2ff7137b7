import numpy as np
import pytest

from fraud.report.drift import drift, feature_drift, risk_shares, score_shares
from tests.bundle.made import made_bundle


def test_the_same_rows_have_not_moved_and_others_have_by_as_much_as_they_did() -> None:
    shares = np.array([0.7, 0.2, 0.1])
    same = drift("x", shares, shares, (1_000, 500))
    assert (same.moved, same.notable) == (0.0, False)
    assert same.psi < 1e-4
    assert same.by_chance == pytest.approx(2 * (1 / 1_000 + 1 / 500))
    other = drift("x", shares, np.array([0.2, 0.2, 0.6]), (1_000, 500))
    assert other.moved == pytest.approx(0.5)
    assert other.notable


def test_an_empty_bin_is_no_infinity() -> None:
    assert np.isfinite(drift("x", np.array([1.0, 0.0]), np.array([0.0, 1.0]), (10, 10)).psi)


def test_chance_alone_gives_about_the_psi_that_is_said() -> None:
    rng = np.random.default_rng(5)
    p = np.array([0.4, 0.3, 0.2, 0.1])
    draws = [
        drift("x", rng.multinomial(800, p) / 800, rng.multinomial(400, p) / 400, (800, 400))
        for _ in range(300)
    ]
    assert np.mean([each.psi for each in draws]) == pytest.approx(draws[0].by_chance, rel=0.15)


def test_a_feature_that_moved_stands_first_with_the_shift_of_its_median() -> None:
    bundle = made_bundle("card", seed=1)
    rng = np.random.default_rng(7)
    matrix = bundle.selftest.matrix[rng.integers(len(bundle.selftest.matrix), size=3_000)]
    reference = bundle.references.columns[0]
    assert reference.typical_high is not None
    assert reference.typical_low is not None
    width = reference.typical_high - reference.typical_low
    moved = matrix.copy()
    moved[:, 0] += 2 * width
    first = feature_drift(bundle, moved)[0]
    assert (first.name, first.notable) == (reference.name, True)
    assert first.shift is not None
    assert first.shift > 1.5
    assert len(feature_drift(bundle, moved)) == len(bundle.column_names)


def test_a_category_that_takes_over_has_moved() -> None:
    bundle = made_bundle("card", seed=1)
    width = len(bundle.feature_names)
    matrix = np.zeros((500, len(bundle.column_names)), np.float32)
    matrix[:, width:] = np.nan
    words = {each.name: each for each in feature_drift(bundle, matrix)}
    for reference in bundle.references.categoricals:
        assert words[reference.name].moved == pytest.approx(1 - reference.missing, abs=1e-9)
        assert words[reference.name].shift is None


def test_scores_fall_into_bins_that_sum_to_one() -> None:
    assert score_shares((0.1, 0.5), np.array([0.05, 0.1, 0.9, 0.6])).tolist() == [0.25, 0.25, 0.5]
    shares = risk_shares(np.array([0, 49, 50, 999], np.int32))
    assert (shares[0], shares[1], shares[19], shares.sum()) == (0.5, 0.25, 0.25, 1.0)
