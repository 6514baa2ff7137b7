"""Manifests come back as they were, and what many of them say is kept once."""

import json
from typing import Any

import pytest

from fraud.documents import Packed
from fraud.registry.manifests import Batches, PackedManifest


def batch(number: int, **changed: Any) -> dict[str, Any]:
    made = {
        "batch_id": f"file-{number}",
        "source": "chargeback",
        "digest": f"{number * 0x9E3779B97F4A7C15**3 % 2**256:064x}",
        "position": 10 * number,
        "arrival_us": [number, number + 5],
        "labels": 12,
        "frauds": number % 3,
    }
    return made | changed


def manifest(first: int, last: int, **rest: Any) -> dict[str, Any]:
    return {"recipe": "full", "label_batches": [batch(it) for it in range(first, last)], **rest}


ODD: list[dict[str, Any]] = [
    {},
    {"label_batches": []},
    {"label_batches": [{"batch_id": "of an older release"}], "rows": 3},
    {"label_batches": [batch(1), {"batch_id": "b", "labels": 1}]},
    manifest(5, 9, seed=2**60, note="ä\x00"),
    {"label_batches": [batch(3), batch(1, labels=2**40, frauds=0), batch(2), batch(3)]},
]


@pytest.mark.parametrize("odd", ODD)
def test_a_manifest_comes_back_as_it_was(odd: dict[str, Any]) -> None:
    batches = Batches()
    PackedManifest.of(manifest(0, 4), batches)
    before = json.dumps(odd)
    packed = PackedManifest.of(odd, batches)
    assert packed.value() == odd == packed.value()
    assert json.dumps(odd) == before
    packed.value().clear()
    assert packed.value() == odd


def test_a_batch_that_gets_another_part_is_another_batch_to_later_manifests() -> None:
    batches = Batches()
    first = PackedManifest.of({"label_batches": [batch(1)]}, batches)
    second = PackedManifest.of({"label_batches": [batch(1, digest="other")]}, batches)
    assert first.value()["label_batches"][0]["digest"] != second.value()["label_batches"][0]["digest"]
    assert len(batches) == 2


def test_batches_that_many_versions_name_are_kept_once() -> None:
    batches = Batches()
    manifests = [manifest(20 * n, 20 * n + 1_000) for n in range(50)]
    versions = [PackedManifest.of(each, batches) for each in manifests]
    assert len(batches) == 49 * 20 + 1_000
    alone = sum(len(Packed.of(each)._text) for each in manifests)
    own = sum(len(it._rows) + len(it._rest._text) for it in versions)
    shared = sum(len(text) for text in batches._texts)
    assert 5 * (own + shared) < alone
