"""What a released version wrote is read by this one; what a later one writes is refused by name."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

import fraud
from fraud.archive.marking import mark
from fraud.bundle.bundle import DESCRIPTION_FILE, Bundle
from fraud.bundle.folds import SERVED
from fraud.bundle.manifest import canonical_json
from fraud.bundle.store import BundleStore
from fraud.cli.main import run
from fraud.errors import OtherFormat
from fraud.eventlog.codec import Kind, encode
from fraud.eventlog.folder import open_log
from fraud.features.archive import open_archive
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec, heading_of
from fraud.labels.exclusions import ALL
from fraud.labels.standing import ConflictRule
from fraud.records import Applied, Scored
from fraud.registry.ledger import FOLDS
from fraud.registry.store import LedgerStore
from fraud.retrainer.matrices import matrix_of, unseen_of, unseen_scores
from fraud.serving.recovery import Snapshots, entries_after, restore
from fraud.settings import Settings, load_settings
from fraud.v1.transaction_pb2 import Transaction
from tests.golden.folds import DEALT_FOLDER, rows_of
from tests.golden.ledger import told_by
from tests.serving.worlds import serving

HERE = Path(__file__).parent
DEVELOPMENT = "-dev"
"""Ends the name of what a version wrote before it was released: read as well, and lacking what came later."""
RELEASES = sorted(
    (path.parent.name for path in HERE.glob("*/expected.json")),
    key=lambda name: (name.removesuffix(DEVELOPMENT), not name.endswith(DEVELOPMENT)),
)
DEALT = sorted(path.parent.parent.name for path in HERE.glob(f"*/{DEALT_FOLDER}/expected.json"))
"""Those that wrote a version with folds."""
NEWER = 99


def copied(release: str, folder: Path) -> tuple[Settings, dict[str, Any]]:
    """Copy a release's folder, so that reading may change it."""
    shutil.copytree(HERE / release, folder, dirs_exist_ok=True)
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    return load_settings(folder / "fraud.toml", {}), expected


def test_there_is_a_folder_of_this_release_and_it_is_the_last() -> None:
    assert fraud.__version__ in RELEASES, "run python -m tests.golden.make and commit what it writes"
    assert fraud.__version__ == RELEASES[-1]
    assert fraud.__version__ in DEALT, "run it again: it writes what is missing"


def test_the_folder_of_this_release_has_all_that_it_writes(tmp_path: Path) -> None:
    settings, _ = copied(fraud.__version__, tmp_path)
    with closing(LedgerStore.open(settings.places.ledger, writable=False)) as store:
        assert {entry.kind for entry in store.read()} == set(FOLDS), "one of each kind"
        state = store.state()
    spec, archive = FeatureSpec.of(settings), open_archive(settings)
    with closing(open_log(settings)) as log:
        assert {it.event.label_view for it in log.applied() if isinstance(it.event, Applied)} > {ALL}
    assert {path.name for path in settings.places.archive.glob("*/")} == set(archive.versions())
    bundle = BundleStore(settings.places.bundles).read(state.version("card-1").digest)
    assert bundle.feature_definitions == {name: spec.definitions[name] for name in bundle.feature_names}
    assert len(spec.indices(bundle.feature_names, bundle.feature_definitions)) == len(bundle.feature_names)


@pytest.mark.parametrize("release", RELEASES)
def test_headings_of_a_release_say_what_its_features_mean(release: str, tmp_path: Path) -> None:
    settings, _ = copied(release, tmp_path)
    spec = FeatureSpec.of(settings)
    with closing(open_log(settings)) as log:
        headings = list(log.headings())
    assert headings == ([] if release.endswith(DEVELOPMENT) else [(1, heading_of(settings))])
    assert open_archive(settings).features_changed(spec.names) == 0


@pytest.mark.parametrize("release", RELEASES)
def test_log_and_archive_of_a_release_give_back_what_was_logged(release: str, tmp_path: Path) -> None:
    settings, expected = copied(release, tmp_path)
    archive = open_archive(settings)
    assert archive.position() == expected["archived"]
    with closing(open_log(settings)) as log:
        assert (log.first(), log.head()) == (expected["first"], expected["head"])
        assert 1 < log.first() <= expected["archived"] < log.head(), "each part stands somewhere"
        pruned = log.first() - 1
        logged = log.read(pruned, archive.position() - pruned)
        entries = list(entries_after(log, archive, 0, log.head()))
    assert [entry.position for entry in entries] == list(range(1, expected["head"] + 1))
    # As bytes: a number that is missing is NaN, which equals nothing.
    both = [[encode(entry.event) for entry in found] for found in (archive.entries(pruned), logged)]
    assert both[0] == both[1]
    assert {kind for kind, _ in both[0]} == set(Kind), "one of each kind"
    scored = {e.event.transaction_id: e.event for e in entries if isinstance(e.event, Scored)}
    assert scored.keys() == expected["answers"].keys()
    assert {event.decision.version for event in scored.values()} == {"", "card-1"}
    for name, event in scored.items():
        assert event.decision.version == expected["answers"][name].get("version", "")


@pytest.mark.parametrize("release", RELEASES)
def test_the_log_of_a_release_replays_bit_for_bit(release: str, tmp_path: Path) -> None:
    copied(release, tmp_path)
    assert run(["--config", str(tmp_path / "fraud.toml"), "replay"]) == 0


@pytest.mark.parametrize("release", RELEASES)
def test_state_from_the_snapshot_of_a_release_is_the_fold_of_its_log(release: str, tmp_path: Path) -> None:
    settings, _ = copied(release, tmp_path)
    spec, rule = FeatureSpec.of(settings), ConflictRule.of(settings.labels)
    snapshots, archive = Snapshots(settings.places.state, 2), open_archive(settings)
    with closing(open_log(settings)) as log:
        found = snapshots.latest(spec, rule, log.head())
        assert found is not None
        assert 0 < found.position < log.head()
        from_snapshot = restore(spec, rule, log, archive, snapshots).fold
        from_nothing = restore(spec, rule, log, archive, Snapshots(tmp_path / "none", 2)).fold
    assert from_snapshot.equals(from_nothing)


@pytest.mark.parametrize("release", RELEASES)
def test_ledger_and_bundles_of_a_release_are_intact(release: str, tmp_path: Path) -> None:
    settings, expected = copied(release, tmp_path)
    with closing(LedgerStore.open(settings.places.ledger, writable=False)) as store:
        store.verify()
        assert store.head() == expected["ledger_head"]
        state = store.state()
    if "ledger" in expected:
        assert json.loads(json.dumps(told_by(state))) == expected["ledger"]
    assert state.champion("card") == "card-1"
    BundleStore(settings.places.bundles).read(state.version("card-1").digest).self_test()


def dealt(release: str) -> tuple[Bundle, dict[str, Any]]:
    """Read a release's version with folds, and what it said."""
    place = HERE / release / DEALT_FOLDER
    expected: dict[str, Any] = json.loads((place / "expected.json").read_text(encoding="utf-8"))
    return BundleStore(place / "bundles").read(expected["digest"]), expected


@pytest.mark.parametrize("release", DEALT)
def test_a_version_with_folds_of_a_release_judges_bit_for_bit_as_it_did(release: str) -> None:
    bundle, expected = dealt(release)
    bundle.self_test()
    rows = rows_of(expected)
    assert unseen_of(bundle).fold(rows).tolist() == expected["fold"]
    assert set(expected["fold"]) == {SERVED, *range(len(bundle.folds))}
    unseen = unseen_scores(bundle, rows)
    assert unseen.tolist() == expected["scores"]
    served = bundle.scores_of(matrix_of(bundle, rows))
    assert np.array_equal(unseen == served, np.equal(expected["fold"], SERVED)), (
        "each by a booster of its own"
    )


def test_a_version_with_folds_is_written_as_it_was() -> None:
    bundle, expected = dealt(fraud.__version__)
    place = HERE / fraud.__version__ / DEALT_FOLDER / "bundles" / expected["digest"]
    assert bundle.files() == {path.name: path.read_bytes() for path in place.iterdir()}
    assert {"apart", "fitted", "label_silence_us", "spans"} <= bundle.manifest.keys()


@pytest.mark.process
@pytest.mark.parametrize("release", RELEASES)
def test_a_scorer_on_the_data_of_a_release_gives_the_same_id_the_same_answer(
    release: str, tmp_path: Path
) -> None:
    _, expected = copied(release, tmp_path)
    with serving(tmp_path) as process, process.client() as client:
        for told in expected["transactions"][-100::7]:
            answer = MessageToDict(client.score(ParseDict(told, Transaction())))
            answer.pop("reasons", None)
            assert answer == expected["answers"][told["transactionId"]]
        fresh = ParseDict(expected["transactions"][-1], Transaction())
        fresh.transaction_id = "of-today"
        assert client.score(fresh).version == "card-1"


def newer_log(settings: Settings) -> None:
    _set_version(settings.places.log)
    open_log(settings)


def newer_ledger(settings: Settings) -> None:
    _set_version(settings.places.ledger)
    LedgerStore.open(settings.places.ledger)


def newer_archive(settings: Settings) -> None:
    mark(settings.places.archive, NEWER)
    open_archive(settings)


def newer_snapshot(settings: Settings) -> None:
    path = Snapshots(settings.places.state, 2).paths()[0]
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    header = json.loads(arrays["header"].tobytes()) | {"format": NEWER}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, allow_pickle=False, **arrays)
    FeatureFold.load(path, FeatureSpec.of(settings), ConflictRule.of(settings.labels))


def newer_bundle(settings: Settings) -> None:
    (place,) = settings.places.bundles.iterdir()
    files = {path.name: path.read_bytes() for path in place.iterdir()}
    described = json.loads(files[DESCRIPTION_FILE]) | {"format": NEWER, "a later key": 1}
    Bundle.from_files(files | {DESCRIPTION_FILE: canonical_json(described)})


def _set_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWER}")


@pytest.mark.parametrize(
    ("what", "open_newer"),
    [
        ("event log", newer_log),
        ("registry ledger", newer_ledger),
        ("archive", newer_archive),
        ("feature snapshot", newer_snapshot),
        ("bundle", newer_bundle),
    ],
)
def test_a_newer_format_is_refused_and_both_are_named(
    what: str, open_newer: Callable[[Settings], None], tmp_path: Path
) -> None:
    settings, _ = copied(fraud.__version__, tmp_path)
    words = rf"has format {NEWER} of the {what}, this release reads format \d+; use the release that wrote it"
    with pytest.raises(OtherFormat, match=words):
        open_newer(settings)


def test_a_snapshot_of_another_format_is_left_aside_for_the_log(tmp_path: Path) -> None:
    settings, expected = copied(fraud.__version__, tmp_path)
    with pytest.raises(OtherFormat):
        newer_snapshot(settings)
    spec, rule = FeatureSpec.of(settings), ConflictRule.of(settings.labels)
    with closing(open_log(settings)) as log:
        state = restore(spec, rule, log, open_archive(settings), Snapshots(settings.places.state, 2))
    assert state.fold.position == expected["head"]
