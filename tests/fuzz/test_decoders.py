"""Whatever the bytes, a reader takes them or says by name what is wrong with them."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud import features
from fraud.errors import Damaged
from tests.fuzz import logs, seeds
from tests.fuzz.guided import COMPILED
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS
from tests.fuzz.tuning import tuned

SLOW = {
    *("rules", "settings", "environment", "bundle", "selftest", "backup", "snapshot", "history-csv"),
    *("log-notes", "commit", "payments", "folded"),
}
PARQUET = {"labels-parquet", "history-parquet"}
"""A process is started for each of these."""


FOUND: dict[str, tuple[bytes, ...]] = {
    "commit": (
        b'{"add": 5}',
        b'{"add": {"size": 5}}',
        b'{"add": {"path": "a", "size": "5"}}',
        b'{"add": {"path": "%00"}}',
        b'{"remove": {"path": null}}',
        b'{"add": {"path": "' + b"a" * 300 + b'"}}',
    ),
    "archive-format": (b'{"format": 1e999}', b'{"format": {}}'),
    "lists-beside": (
        b'{"card": [[7, "no list", 0, 0, "", ""]]}',
        b'{"card": [[[7], "block", 0, 0, "", ""]]}',
        b'{"card": [[7, "block", 0, 1e999, "", ""]]}',
        b'{"card": [[7, "block", 0, "5", "", ""]]}',
        b'{"card": [["7", "block", 0, 0, "", ""], [7, "block", 0, 0, "", ""]]}',
    ),
    "spending-beside": (
        seeds.spendings()[0].replace(b'"until_us": ', b'"until_us": null, "x": '),
        seeds.spendings()[0].replace(b'"until_us": ', b'"until_us": 1e999, "x": '),
    ),
    "view": (
        b'["x"]',
        b'[{"what": "labels", "batch_id": "b", "from_us": 1e999}]',
        b'[{"what": "labels", "batch_id": "b", "from_us": NaN}]',
        b'[{"what": "transactions", "from_us": 5, "where": [["card", 1e999]]}]',
        b'[{"what": "transactions", "from_us": 5, "where": [["none", 1]]}]',
        b'[{"what": "transactions", "from_us": 5, "where": [[[], 1]]}]',
        b'[{"what": "transactions", "from_us": 5, "where": ["ab", "cde"]}]',
        b'[{"what": [], "batch_id": "b"}]',
        b'[{"what": "labels", "batch_id": ["b"]}]',
    ),
    "folded": tuple(logs.framed(entries) for entries in logs.misfits()),
    "labels-parquet": (seeds.made_up_labels(),),
    "history-parquet": (seeds.made_up_history(),),
    "log-notes": (b"entities", b"pruned 5", b"heading:1 []", b"heading:x [[], [], []]", b"erasure {}"),
}
"""Bytes that were a finding, or nearly."""


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_written_is_read(name: str) -> None:
    target = TARGETS[name]
    assert [target.try_(seed) for seed in target.seeds()] == [""] * len(target.seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_changed_bytes_are_read_or_refused_by_name(name: str) -> None:
    target = TARGETS[name]
    codes: Counter[str] = Counter()
    changed = st.sampled_from(target.seeds()).flatmap(mutated)

    @tuned(8 if name in PARQUET else 20 if name in SLOW else 60)
    @given(data=st.one_of(changed, changed, changed, changed, st.binary(max_size=300)))
    def tried(data: bytes) -> None:
        codes[target.try_(data)] += 1

    tried()
    assert bool(codes.keys() - {""}) == bool(target.allowed), f"refused was: {codes}"


@pytest.mark.parametrize("name", ["view", "folded"])
def test_what_no_log_of_ours_holds_is_damaged(name: str) -> None:
    for data in FOUND[name]:
        assert TARGETS[name].try_(data) == Damaged.code, data


@pytest.mark.parametrize(("name", "data"), [(name, data) for name in FOUND for data in FOUND[name]])
def test_what_was_found_once_is_read_or_refused_by_name(name: str, data: bytes) -> None:
    TARGETS[name].try_(data)


def test_no_compiled_module_is_instrumented() -> None:
    sources = Path(features.__path__[0]).glob("*.py")
    compiled = sorted(it.stem for it in sources if "features.compiled import" in it.read_text())
    assert tuple(f"fraud.features.{name}" for name in compiled) == COMPILED
