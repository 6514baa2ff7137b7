import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from fraud.bundle.bundle import FILES, Bundle
from fraud.bundle.manifest import REQUIRED, canonical_json, check_manifest
from fraud.bundle.store import WRITING_S, BundleStore
from fraud.documents import read_bounded
from fraud.errors import Damaged, NotFound, Unavailable
from tests.bundle.made import made_bundle, made_folds, made_manifest


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return made_bundle()


def test_a_bundle_is_read_back_by_its_digest(tmp_path: Path, bundle: Bundle) -> None:
    store = BundleStore(tmp_path / "bundles")
    digest = store.write(bundle)
    assert digest == bundle.digest
    assert store.write(bundle) == digest
    again = store.read(digest)
    again.self_test()
    assert again.files() == bundle.files()
    assert store.size(digest) == sum(len(content) for content in bundle.files().values())
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == [digest]


def test_boosters_of_folds_take_room_on_disk_and_none_in_a_scorer(tmp_path: Path, bundle: Bundle) -> None:
    store, dealt = BundleStore(tmp_path), made_folds(bundle)
    digest, files = store.write(dealt), dealt.files()
    assert store.size_served(digest) == sum(len(files[name]) for name in FILES)
    assert store.size(digest) == store.size_served(digest) + sum(map(len, dealt.folds))
    assert store.read(digest).folds == dealt.folds


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_file_that_is_not_what_was_written_is_found_at_reading(
    tmp_path: Path, bundle: Bundle, name: str, harm: str
) -> None:
    store = BundleStore(tmp_path)
    digest = store.write(bundle)
    path = tmp_path / digest / name
    content = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content if harm == "changed" else content[:-1])
    with pytest.raises(Damaged, match=f"bundle {digest}"):
        store.read(digest)


@pytest.mark.parametrize("digest", ["0" * 64, "", "..", "../bundles"])
def test_what_is_not_there_is_not_found(tmp_path: Path, digest: str) -> None:
    store = BundleStore(tmp_path / "bundles")
    assert not store.has(digest)
    for ask in (store.read, store.size, store.size_served, store.delete):
        with pytest.raises(NotFound, match="not in the store"):
            ask(digest)


def aged(path: Path, seconds: float = 2 * WRITING_S) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_disk_that_fails_says_nothing_of_the_bundle(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BundleStore(tmp_path)
    digest = store.write(bundle)

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("fraud.bundle.store.read_bounded", fail)
        with pytest.raises(
            Unavailable, match=f"bundle {digest} cannot be read now .*check disk and permissions"
        ):
            store.read(digest)
    assert store.read(digest).digest == digest


def test_a_deleted_bundle_is_gone_as_a_whole(tmp_path: Path, bundle: Bundle) -> None:
    store = BundleStore(tmp_path)
    digest = store.write(bundle)
    assert store.has(digest)
    assert store.digests() == [digest]
    aged(tmp_path / digest)
    assert store.delete(digest) == sum(len(content) for content in bundle.files().values())
    assert not store.has(digest)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound, match="not in the store"):
        store.delete(digest)


def test_a_bundle_written_again_a_moment_ago_is_not_deleted(tmp_path: Path, bundle: Bundle) -> None:
    store = BundleStore(tmp_path)
    digest = store.write(bundle)
    aged(tmp_path / digest)
    # A cycle that died before it registered the bundle is run again and is about to.
    store.write(bundle)
    assert store.delete(digest) == 0
    assert store.read(digest).digest == digest


def test_a_bundle_that_is_deleted_while_it_is_read_is_not_found(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BundleStore(tmp_path)
    digest = store.write(bundle)

    def deleted_after(calls: int) -> Callable[[Path, int], bytes]:
        done = count()

        def read(path: Path, bytes_max: int) -> bytes:
            if next(done) == calls:
                aged(tmp_path / digest)
                store.delete(digest)
            return read_bounded(path, bytes_max)

        return read

    for calls in range(len(FILES)):
        store.write(bundle)
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr("fraud.bundle.store.read_bounded", deleted_after(calls))
            with pytest.raises(NotFound, match="not in the store"):
                store.read(digest)


def test_the_files_of_a_bundle_may_go_before_they_are_looked_at(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BundleStore(tmp_path)
    digest = store.write(bundle)
    is_file = Path.is_file

    def deleted(path: Path) -> bool:
        if store.has(digest):
            aged(tmp_path / digest)
            store.delete(digest)
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", deleted)
    with pytest.raises(NotFound, match="not in the store"):
        store.read(digest)


def test_a_bundle_that_is_deleted_while_it_is_written_again_is_there_afterwards(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BundleStore(tmp_path)
    digest = store.write(bundle)
    utime = os.utime

    def deleted(path: Path) -> None:
        utime(path, (0, 0))
        store.delete(digest)
        utime(path)

    monkeypatch.setattr(os, "utime", deleted)
    assert store.write(bundle) == digest
    assert store.read(digest).files() == bundle.files()


def test_only_folders_left_behind_for_a_day_are_leftovers(tmp_path: Path) -> None:
    for name in (".writing-old", ".going-old", ".writing-new", "unknown"):
        (tmp_path / name).mkdir()
    for name in (".writing-old", ".going-old"):
        aged(tmp_path / name)
    assert [place.name for place in BundleStore(tmp_path).leftovers()] == [".going-old", ".writing-old"]
    assert BundleStore(tmp_path / "nowhere").leftovers() == []


def test_a_manifest_names_what_it_lacks() -> None:
    manifest = made_manifest()
    check_manifest(manifest)
    for key in REQUIRED:
        with pytest.raises(Damaged, match=key):
            check_manifest({name: value for name, value in manifest.items() if name != key})
    for wrong in (["amount"], {"amount": 1}):
        with pytest.raises(Damaged, match="feature_definitions is no table of texts"):
            check_manifest(manifest | {"feature_definitions": wrong})


def test_json_has_one_spelling() -> None:
    assert canonical_json({"b": [1, 0.1], "a": "é"}) == canonical_json({"a": "é", "b": [1, 0.1]})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))
