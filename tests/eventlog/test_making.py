"""Files that several processes open for the first time at once, and readers that come in between."""

import multiprocessing
import sqlite3
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from fraud.errors import Unavailable
from fraud.eventlog import SqliteEventLog
from fraud.eventlog.connection import connect
from fraud.registry.store import LAYOUT

FILES, WRITERS = 40, 3


def make_all(folder: Path, together: Barrier, failed: "multiprocessing.Queue[list[str]]") -> None:
    errors = []
    for i in range(FILES):
        together.wait(180)
        try:
            connect(folder / f"{i}.sqlite", LAYOUT, writable=True).close()
        except Unavailable as error:
            errors.append(str(error))
    failed.put(errors)


def test_who_makes_a_file_at_once_with_others_waits_for_them(tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    together, failed = spawning.Barrier(WRITERS), spawning.Queue()
    writers = [spawning.Process(target=make_all, args=(tmp_path, together, failed)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    assert [failed.get(timeout=180) for _ in writers] == [[]] * WRITERS
    for writer in writers:
        writer.join(180)
    assert len(list(tmp_path.glob("*.sqlite"))) == FILES


@pytest.mark.parametrize("made", ["nothing", "the tables"])
def test_a_reader_of_a_log_that_is_being_made_is_told_to_come_again(tmp_path: Path, made: str) -> None:
    path = tmp_path / "log.db"
    if made == "nothing":
        path.touch()
    else:
        SqliteEventLog.open(path, writable=True, entity_names=["card"]).close()
        connection = sqlite3.connect(path)
        connection.execute("DELETE FROM meta")
        connection.commit()
        connection.close()
    with pytest.raises(Unavailable, match="being made by its writer; try again"):
        SqliteEventLog.open(path, writable=False, entity_names=["card"])
