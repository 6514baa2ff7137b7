import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.features.encoding import Vocabulary


def test_the_most_frequent_word_comes_first_and_equals_by_alphabet() -> None:
    assert Vocabulary.build(["b", "c", "a"], [5, 9, 5]).words == ("c", "a", "b")


def test_unseen_and_missing_words_encode_as_nan() -> None:
    codes = Vocabulary(("web", "pos")).encode(["pos", "", "moto", "web"])
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(codes, np.array([1, np.nan, np.nan, 0], np.float32))


def test_the_empty_word_never_gets_a_code() -> None:
    assert Vocabulary.build(["", "web"], [100, 1]).words == ("web",)


@given(st.lists(st.text(max_size=3), unique=True), st.lists(st.text(max_size=3), unique=True))
def test_extending_keeps_every_code(first: list[str], second: list[str]) -> None:
    before = Vocabulary.build(first, [1] * len(first))
    after = before.extend(second, range(len(second)))
    assert after.words[: len(before.words)] == before.words
    assert set(after.words) == (set(first) | set(second)) - {""}


def test_a_word_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="one code"):
        Vocabulary(("web", "web"))


def test_vocabularies_of_the_same_words_are_equal() -> None:
    assert Vocabulary(("web",)) == Vocabulary.build(["web"], [3])
