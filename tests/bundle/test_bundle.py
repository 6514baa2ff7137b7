import threading
from dataclasses import replace

import numpy as np
import pytest

from fraud.bundle.bundle import Bundle, SelfTest, digest_of_files
from fraud.errors import Damaged
from tests.bundle.made import FEATURES, made_bundle, made_rows


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return made_bundle()


def test_files_and_back_is_the_same_bundle_with_the_same_digest(bundle: Bundle) -> None:
    again = Bundle.from_files(bundle.files())
    rows, _ = made_rows(1, 500)
    assert again.files() == bundle.files()
    assert again.digest == bundle.digest
    assert again.margins(rows).tobytes() == bundle.margins(rows).tobytes()
    assert again.scores(bundle.margins(rows)).tobytes() == bundle.scores_of(rows).tobytes()
    assert (
        again.risk_scores(bundle.margins(rows)).tolist() == bundle.risk_scores(bundle.margins(rows)).tolist()
    )
    assert again.thresholds == bundle.thresholds


def test_fitting_twice_gives_the_same_digest_and_another_seed_another(bundle: Bundle) -> None:
    assert made_bundle().digest == bundle.digest
    assert made_bundle(seed=8).digest != bundle.digest


def test_the_digest_covers_names_and_contents() -> None:
    files = {"a": b"1", "b": b"2"}
    assert digest_of_files(files) == digest_of_files({"b": b"2", "a": b"1"})
    assert len({digest_of_files(f) for f in (files, {"a": b"2", "b": b"1"}, {"a": b"1", "c": b"2"})}) == 3


def test_the_matrix_picks_features_by_place_and_encodes_words(bundle: Bundle) -> None:
    service = np.arange(10, dtype=np.float32).reshape(2, 5)
    rows = bundle.matrix(service, np.array([4, 0, 2]), [("pos",), ("fax",)])
    assert rows[:, :3].tolist() == [[4, 0, 2], [9, 5, 7]]
    assert rows[0, 3] == 1
    assert np.isnan(rows[1, 3])
    assert rows.dtype == np.float32


def test_a_row_scores_the_same_alone_and_in_a_batch(bundle: Bundle) -> None:
    rows, _ = made_rows(2, 200)
    together = bundle.margins(rows)
    alone = np.concatenate([bundle.margins(rows[i : i + 1]) for i in range(200)])
    assert together.tobytes() == alone.tobytes()


def test_contributions_sum_to_the_margin(bundle: Bundle) -> None:
    rows, _ = made_rows(3, 100)
    contributions = bundle.contributions(rows)
    assert contributions.shape == (100, len(FEATURES) + 2)
    np.testing.assert_allclose(contributions.sum(axis=1), bundle.margins(rows), atol=1e-4)


def test_scoring_and_reasons_may_run_at_the_same_time(bundle: Bundle) -> None:
    rows, _ = made_rows(4, 300)
    margins, contributions = bundle.margins(rows).tobytes(), bundle.contributions(rows).tobytes()
    wrong: list[str] = []

    def score() -> None:
        wrong.extend("margins" for _ in range(200) if bundle.margins(rows).tobytes() != margins)

    def explain() -> None:
        wrong.extend("reasons" for _ in range(10) if bundle.contributions(rows).tobytes() != contributions)

    threads = [threading.Thread(target=score), threading.Thread(target=explain)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_limits_name_amounts_out_of_range_and_unseen_words_but_not_missing_ones(bundle: Bundle) -> None:
    words = [("pos",), ("fax",), ("",), ("web",)]
    service = np.array([[20, 1, 5], [20, 1, 5], [20, 1, np.nan], [9_999, 500, 5]], np.float32)
    rows = bundle.matrix(service, np.arange(3), words)
    assert bundle.limits(rows, words) == [
        (),
        ("UNSEEN_CATEGORY:channel",),
        (),
        ("OUT_OF_RANGE:amount",),
    ]


def test_the_self_test_passes_as_trained_and_fails_on_one_bit(bundle: Bundle) -> None:
    bundle.self_test()
    margins = bundle.selftest.margins.copy()
    margins.view(np.uint32)[5] ^= 1
    wrong = replace(bundle, selftest=SelfTest(bundle.selftest.matrix, margins))
    with pytest.raises(Damaged, match="1 of 64 self-test rows"):
        wrong.self_test()


@pytest.mark.parametrize("name", ["booster.ubj", "bundle.json", "selftest.npz"])
def test_a_broken_file_is_damage_not_a_crash(bundle: Bundle, name: str) -> None:
    files = bundle.files()
    for broken in (b"", b"nonsense", files[name][: len(files[name]) // 2]):
        with pytest.raises(Damaged):
            Bundle.from_files({**files, name: broken})


def test_the_policy_is_named_after_the_version(bundle: Bundle) -> None:
    assert bundle.policy_version("card-7") == f"card-7/{bundle.policy_digest}"
