import json
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fraud.bundle.booster_bytes import check_booster
from fraud.bundle.boosting import load_booster, margins_of
from fraud.bundle.bundle import DESCRIPTION_FILE, Bundle, Range, SelfTest, digest_of_files
from fraud.bundle.folds import SERVED
from fraud.bundle.manifest import canonical_json
from fraud.errors import Damaged
from fraud.policy.thresholds import Thresholds
from tests.bundle.made import FEATURES, made_bundle, made_folds, made_manifest, made_rows


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


@pytest.fixture(scope="module")
def dealt(bundle: Bundle) -> Bundle:
    """A bundle with two boosters that were fitted without a fold."""
    return made_folds(bundle)


def test_folds_are_as_many_as_the_manifest_says(bundle: Bundle, dealt: Bundle) -> None:
    for wrong in (replace(dealt, folds=dealt.folds[:1]), replace(bundle, folds=dealt.folds)):
        with pytest.raises(Damaged, match=r"boosters of folds, and its manifest \d folds"):
            Bundle.from_files(wrong.files())
    broken = Bundle.from_files(replace(dealt, folds=(dealt.folds[0], dealt.folds[1][:-9])).files())
    with pytest.raises(Damaged, match="a booster of a fold cannot be read"):
        broken.margins_without(broken.selftest.matrix, np.ones(64, np.int8))


def test_boosters_of_folds_are_files_of_the_bundle_and_part_of_its_digest(dealt: Bundle) -> None:
    files = dealt.files()
    assert list(files)[1:3] == ["without-0.ubj", "without-1.ubj"]
    again = Bundle.from_files(files)
    assert again.folds == dealt.folds
    assert again.digest == dealt.digest
    assert again.digest != replace(dealt, folds=dealt.folds[::-1]).digest


@pytest.mark.parametrize("harm", ["missing", "added", "exchanged", "cut"])
def test_a_booster_of_a_fold_that_is_not_what_was_written_is_damage(dealt: Bundle, harm: str) -> None:
    files = dealt.files()
    first, second = files["without-0.ubj"], files["without-1.ubj"]
    if harm == "missing":
        del files["without-1.ubj"]
    changed = {"added": {"without-2.ubj": first}, "cut": {"without-1.ubj": second[:-9]}}
    changed["exchanged"] = {"without-0.ubj": second, "without-1.ubj": first}
    with pytest.raises(Damaged):
        Bundle.from_files(files | changed.get(harm, {}))


def test_each_row_is_judged_by_the_booster_without_its_fold(dealt: Bundle) -> None:
    matrix = dealt.selftest.matrix
    fold = np.arange(len(matrix), dtype=np.int8) % 3 - 1
    found = dealt.margins_without(matrix, fold)
    for number, raw in ((SERVED, dealt.booster), *enumerate(dealt.folds)):
        own = fold == number
        assert np.array_equal(found[own], margins_of(load_booster(raw), matrix[own]))
    assert not np.array_equal(found, dealt.margins(matrix))


def test_what_is_served_has_no_boosters_of_folds_and_is_the_same_version(dealt: Bundle) -> None:
    matrix = dealt.selftest.matrix
    dealt.margins_without(matrix, np.zeros(len(matrix), np.int8))
    served = dealt.served()
    served.self_test()
    assert (served.folds, served.digest) == ((), dealt.digest)
    assert "_folds" not in vars(served), "nor are they held loaded"
    assert len(dealt.folds) == 2


def told_otherwise(bundle: Bundle, **wrong: Any) -> dict[str, bytes]:
    """The files of a bundle, which says something else of itself."""
    files = bundle.files()
    stored = json.loads(files["bundle.json"])
    for key, change in wrong.items():
        stored[key] = change(stored[key])
    return {**files, "bundle.json": json.dumps(stored).encode()}


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("ranges", lambda _: [["nope", 0, 1]]),
        ("ranges", lambda _: [["amount", "low", 1]]),
        ("ranges", lambda _: [["amount", 0]]),
        ("thresholds", lambda it: it | {"challenge": "x", "review": None, "decline": None}),
        ("thresholds", lambda it: it | {"challenge": None, "review": None, "decline": float("nan")}),
        ("calibrator", lambda it: it | {"probabilities": [*it["probabilities"][:-1], 5.0]}),
        ("calibrator", lambda it: it | {"margins": [float("nan"), *it["margins"][1:]]}),
        ("risk_scale", lambda it: [float("nan"), *it[1:]]),
        ("risk_scale", lambda it: [*it[:-1], "most"]),
        ("references", lambda it: it | {"columns": it["columns"][:-1]}),
        ("references", lambda it: it | {"categoricals": []}),
        ("manifest", lambda it: it | {"cut": {}}),
        ("manifest", lambda it: it | {"cut": {"position": 1, "time_us": "now"}}),
        ("feature_names", lambda it: [it[0], it[0], *it[2:]]),
        ("vocabularies", lambda _: [["web", "pos"]]),  # the trees know a third word
    ],
)
def test_what_would_fail_at_a_payment_fails_at_reading(
    bundle: Bundle, key: str, change: Callable[[Any], Any]
) -> None:
    assert Bundle.from_files(told_otherwise(bundle)).thresholds == bundle.thresholds
    with pytest.raises(Damaged, match="restore"):
        Bundle.from_files(told_otherwise(bundle, **{key: change}))


def test_a_bundle_that_gives_no_answers_fails_its_self_test(bundle: Bundle) -> None:
    for wrong in (
        replace(bundle, ranges=(Range("nope", 0, 1),)),
        replace(bundle, thresholds=Thresholds(decline="x")),  # type: ignore[arg-type]
    ):
        with pytest.raises(Damaged, match="gives no answers"):
            wrong.self_test()


def test_a_feature_and_a_field_of_words_may_have_one_name(bundle: Bundle) -> None:
    both = replace(
        bundle,
        categorical_names=("amount",),
        references=replace(
            bundle.references,
            categoricals=tuple(replace(it, name="amount") for it in bundle.references.categoricals),
        ),
    )
    again = Bundle.from_files(both.files())
    assert (again.feature_names[0], again.categorical_names) == ("amount", ("amount",))
    again.self_test()


def test_a_code_that_no_word_has_costs_no_memory(bundle: Bundle) -> None:
    """XGBoost keeps a bit for each code up to the largest of a split."""
    check_booster(bundle.booster, 4, 3)
    with pytest.raises(ValueError, match="a word has no code"):
        check_booster(bundle.booster, 4, 2)


def test_the_policy_is_named_after_the_version(bundle: Bundle) -> None:
    assert bundle.policy_version("card-7") == f"card-7/{bundle.policy_digest}"


def test_many_label_batches_come_back_as_they_were_and_lie_packed(bundle: Bundle) -> None:
    batches = [{"batch_id": f"b{n}", "digest": f"{n:064x}", "labels": n} for n in range(12_345)]
    told = {**made_manifest(), "label_batches": batches}
    made = replace(bundle, manifest=told)
    assert made.manifest == told
    assert list(made.manifest) == list(told)
    assert len(pickle.dumps(made.manifest)) < len(canonical_json(batches)) / 4
    again = Bundle.from_files(made.files())
    assert again.manifest == told
    assert again.digest == digest_of_files(again.files()) == made.digest


def test_a_manifest_without_label_batches_is_damaged(bundle: Bundle) -> None:
    for batches in (7, None, {"b1": 1}):
        description = json.loads(bundle.files()[DESCRIPTION_FILE])
        description["manifest"]["label_batches"] = batches
        with pytest.raises(Damaged, match="bundle cannot be read"):
            Bundle.from_files({**bundle.files(), DESCRIPTION_FILE: canonical_json(description)})
