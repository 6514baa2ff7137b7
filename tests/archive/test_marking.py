"""An archive says which format it has, also to those who open it while others begin it."""

import threading
from pathlib import Path

import pytest

from fraud.archive.marking import FORMAT, NAME, check_format, format_of, mark
from fraud.errors import Damaged, OtherFormat


def test_an_archive_without_a_mark_is_of_the_first_format(tmp_path: Path) -> None:
    assert format_of(tmp_path) == 1
    mark(tmp_path)
    assert format_of(tmp_path) == FORMAT


@pytest.mark.parametrize("number", [FORMAT - 1, FORMAT + 1])
def test_another_format_is_refused(number: int, tmp_path: Path) -> None:
    mark(tmp_path, number)
    with pytest.raises(OtherFormat, match=f"has format {number} of the archive"):
        check_format(tmp_path)


def test_a_mark_that_says_nothing_is_damaged(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{}")
    with pytest.raises(Damaged, match="cannot be read"):
        check_format(tmp_path)


def test_whoever_looks_while_several_write_sees_a_whole_mark(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(50):
                mark(tmp_path)
                check_format(tmp_path)
        except Exception as error:  # noqa: BLE001 — judged below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
