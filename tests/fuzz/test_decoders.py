"""Whatever the bytes, a reader takes them or says by name what is wrong with them."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud import features
from tests.fuzz.guided import COMPILED
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import TARGETS
from tests.fuzz.tuning import tuned

SLOW = {"rules", "settings", "environment", "bundle", "selftest", "backup", "snapshot", "history-csv"}


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_written_is_read(name: str) -> None:
    target = TARGETS[name]
    assert [target.try_(seed) for seed in target.seeds()] == [""] * len(target.seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_changed_bytes_are_read_or_refused_by_name(name: str) -> None:
    target = TARGETS[name]
    codes: Counter[str] = Counter()
    changed = st.sampled_from(target.seeds()).flatmap(mutated)

    @tuned(30 if name in SLOW else 80)
    @given(data=st.one_of(changed, changed, changed, changed, st.binary(max_size=300)))
    def tried(data: bytes) -> None:
        codes[target.try_(data)] += 1

    tried()
    assert any(codes.keys() - {""}), f"nothing was refused: {codes}"


def test_no_compiled_module_is_instrumented() -> None:
    sources = Path(features.__path__[0]).glob("*.py")
    compiled = sorted(it.stem for it in sources if "features.compiled import" in it.read_text())
    assert tuple(f"fraud.features.{name}" for name in compiled) == COMPILED
