"""The order of the files of tests."""

from pathlib import Path

from tests.order import SECONDS, seconds_of, spread

ROOT = Path(__file__).parents[1]


def test_one_heavy_file_runs_beside_one_that_is_not_and_the_longest_first() -> None:
    seconds = {"h9": 9.0, "h4": 4.0, "h2": 2.0, "l8": 8.0, "l5": 5.0, "l1": 1.0}
    # h9 0–9 beside l8 0–8 and l5 8–13; h4 9–13 beside that; h2 13–15 beside l1.
    assert spread(seconds, {"h2", "h4", "h9"}) == ["h9", "l8", "l5", "h4", "h2", "l1"]


def test_every_file_is_taken_once_whatever_there_is_of_either_kind() -> None:
    seconds = {name: float(ord(name)) for name in "abcdef"}
    for heavy in ("", "a", "abcdef", "bdf"):
        assert sorted(spread(seconds, set(heavy))) == sorted(seconds)


def test_files_that_are_timed_are_there() -> None:
    assert [name for name in SECONDS if not (ROOT / name).is_file()] == []


def test_a_file_that_was_never_timed_counts_by_its_tests() -> None:
    assert seconds_of("tests/new.py", 3, heavy=True) > seconds_of("tests/new.py", 3, heavy=False) > 0
