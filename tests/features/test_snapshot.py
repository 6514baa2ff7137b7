from pathlib import Path

import numpy as np
import pytest

from fraud.errors import Damaged
from fraud.features.fold import Coordinates, FeatureFold
from fraud.labels.standing import ConflictRule
from fraud.records import LabelValue
from tests.features.making import RULE, START, card_spec, labels_entry, labels_of, rows_of

SPEC = card_spec(windows=["1h"], fraud_rates=[{"width": "7d", "delay": "7d"}])


@pytest.fixture
def fold() -> FeatureFold:
    made = FeatureFold(SPEC, RULE)
    made.score(["a", "b"], rows_of((0, 100), (1, 100, (7,))))
    made.advance(2)
    labels = labels_entry(3, ("a", LabelValue.FRAUD), ("später", LabelValue.FRAUD))
    made.take_labels(labels_of(labels), {"a": Coordinates((0,), START)}, START)
    made.advance(3)
    return made


def test_a_snapshot_returns_an_equal_fold_named_by_its_position(fold: FeatureFold, tmp_path: Path) -> None:
    path = fold.save(tmp_path / "state")
    assert path.name == "features-00000000000000000003.npz"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded = FeatureFold.load(path, SPEC, RULE)
    assert loaded.equals(fold)
    assert loaded.position == 3
    assert loaded.lacking(labels_of(labels_entry(4, ("a", LabelValue.WITHDRAWN)))) == []


def test_only_rows_in_use_are_written(fold: FeatureFold, tmp_path: Path) -> None:
    with np.load(fold.save(tmp_path)) as archive:
        assert archive["wide_0"].shape[0] == 8


def test_an_empty_fold_makes_the_round_trip(tmp_path: Path) -> None:
    empty = FeatureFold(SPEC, RULE)
    assert FeatureFold.load(empty.save(tmp_path), SPEC, RULE).equals(empty)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_snapshot_is_damaged(fold: FeatureFold, tmp_path: Path, kept: float) -> None:
    path = fold.save(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(Damaged, match=path.name):
        FeatureFold.load(path, SPEC, RULE)


def test_an_altered_byte_is_found(fold: FeatureFold, tmp_path: Path) -> None:
    path = fold.save(tmp_path)
    content = bytearray(path.read_bytes())
    state = fold.state.rows_of(0, 8)[1].tobytes()
    content[content.index(state) + 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="cannot be read"):
        FeatureFold.load(path, SPEC, RULE)


def test_a_snapshot_of_another_spec_or_rule_is_refused(fold: FeatureFold, tmp_path: Path) -> None:
    path = fold.save(tmp_path)
    with pytest.raises(Damaged, match="another fingerprint"):
        FeatureFold.load(path, card_spec(windows=["24h"]), RULE)
    with pytest.raises(Damaged, match="another rule"):
        FeatureFold.load(path, SPEC, ConflictRule("LAST_WRITE_WINS", RULE.sources))


def test_a_missing_snapshot_is_damaged_and_named(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="features-1"):
        FeatureFold.load(tmp_path / "features-1.npz", SPEC, RULE)
