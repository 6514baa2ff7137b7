import subprocess
import sys
from pathlib import Path

import pytest

from fraud.errors import DataFolderLocked
from fraud.eventlog import lock_data_folder
from tests.archive.test_power import Books

ROOT = Path(__file__).parents[2]


def test_a_folder_is_made_locked_and_freed(tmp_path: Path) -> None:
    for _ in range(2):
        with lock_data_folder(tmp_path / "new" / "data"):
            assert (tmp_path / "new" / "data").is_dir()


def test_the_names_of_folders_that_are_made_are_durable(tmp_path: Path) -> None:
    books = Books()
    with books.kept(), lock_data_folder(tmp_path / "new" / "data"):
        assert books.synced >= {tmp_path, tmp_path / "new"}


def test_the_same_process_cannot_lock_it_twice(tmp_path: Path) -> None:
    with lock_data_folder(tmp_path), pytest.raises(DataFolderLocked), lock_data_folder(tmp_path):
        pass


@pytest.mark.process
def test_a_second_process_is_told_who_holds_the_folder_and_gets_it_when_that_one_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.eventlog.holder", str(tmp_path)]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(DataFolderLocked, match=f"process {holder.pid} is the scorer of this folder already"),
        lock_data_folder(tmp_path),
    ):
        pass
    holder.kill()
    holder.wait()
    with lock_data_folder(tmp_path):
        pass
    holder.stdin.close()
    holder.stdout.close()
