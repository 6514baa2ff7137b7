import numpy as np
import pytest

from fraud.evaluation.resampling import NO_CARD
from fraud.monitoring.drift import (
    drift,
    effective_rows,
    feature_drift,
    findings,
    likeness,
    risk_shares,
    score_shares,
)
from fraud.settings.monitoring import Drift as DriftRules
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


RULES = DriftRules()
NAMES = [f"x{i}" for i in range(40)]


def look(seed: int, moved: float = 0.0) -> list[str]:
    """Forty features of ten bins; `moved` takes that share of rows from the first bin to the last of one."""
    rng = np.random.default_rng(seed)
    found = []
    for name in NAMES:
        shares = np.full(10, 0.1) if name == NAMES[0] else rng.dirichlet(np.full(10, 5.0))
        now = shares.copy()
        if name == NAMES[0]:
            now[0] -= moved * shares[0]
            now[-1] += moved * shares[0]
        before = rng.multinomial(20_000, shares) / 20_000
        found.append(drift(name, before, rng.multinomial(2_000, now) / 2_000, (20_000, 2_000)))
    return [it.name for it in findings(found, RULES)]


def test_a_stream_that_has_not_changed_is_silent_in_two_hundred_looks_at_forty_features() -> None:
    assert [look(seed) for seed in range(200)] == [[]] * 200


def test_chance_alone_stays_at_its_level_when_every_effect_would_do() -> None:
    """The correction by itself: at 5 % for all forty together, about ten of two hundred looks."""
    level = RULES.model_copy(update={"effect": 1e-9, "p_value": 0.05})
    rng = np.random.default_rng(3)
    p = np.full(10, 0.1)
    looks = 0
    for _ in range(200):
        drawn = [rng.multinomial(n, p, size=len(NAMES)) / n for n in (20_000, 2_000)]
        found = [drift(name, drawn[0][i], drawn[1][i], (20_000, 2_000)) for i, name in enumerate(NAMES)]
        looks += bool(findings(found, level))
    assert looks <= 20


def test_a_change_is_found_in_the_feature_that_has_it_and_nowhere_else() -> None:
    assert [look(seed, moved=0.9) for seed in range(20)] == [[NAMES[0]]] * 20


def test_a_change_without_effect_is_no_finding_however_sure() -> None:
    shares = np.array([0.5, 0.5])
    sure = drift("x", shares, np.array([0.45, 0.55]), (10**7, 10**7))
    assert sure.p_value < 1e-12
    assert findings([sure], RULES) == []


def test_an_effect_that_chance_can_give_is_no_finding_however_large() -> None:
    few = drift("x", np.array([0.5, 0.5]), np.array([0.2, 0.8]), (100, 10))
    assert few.effect > RULES.effect
    assert findings([few], RULES) == []


def test_rows_of_one_card_count_as_one() -> None:
    cards = np.repeat(np.arange(50), 20)
    assert likeness(cards) == pytest.approx(20)
    assert likeness(np.arange(1_000)) == pytest.approx(1)
    assert likeness(np.empty(0, np.int64)) == 1
    assert likeness(np.full(1_000, NO_CARD)) == 1
    shares, now = np.array([0.5, 0.5]), np.array([0.3, 0.7])
    alone = drift("x", shares, now, effective_rows(10_000, 1_000, 1.0))
    alike = drift("x", shares, now, effective_rows(10_000, 1_000, likeness(cards)))
    assert findings([alone], RULES) == [alone]
    assert findings([alike], RULES) == []


def test_what_grows_with_the_service_is_never_found() -> None:
    grown = drift("card_age_s", np.array([0.9, 0.1]), np.array([0.1, 0.9]), (10_000, 10_000))
    assert findings([grown], RULES) == []
    assert grown.effect > 1
