from pathlib import Path

import pytest

from fraud.bundle.bundle import FILES, Bundle
from fraud.bundle.manifest import REQUIRED, canonical_json, check_manifest
from fraud.bundle.store import BundleStore
from fraud.errors import Damaged, NotFound
from tests.bundle.made import made_bundle, made_manifest


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
    for ask in (store.read, store.size):
        with pytest.raises(NotFound, match="not in the store"):
            ask(digest)


def test_a_manifest_names_what_it_lacks() -> None:
    manifest = made_manifest()
    check_manifest(manifest)
    for key in REQUIRED:
        with pytest.raises(Damaged, match=key):
            check_manifest({name: value for name, value in manifest.items() if name != key})


def test_json_has_one_spelling() -> None:
    assert canonical_json({"b": [1, 0.1], "a": "é"}) == canonical_json({"a": "é", "b": [1, 0.1]})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))
