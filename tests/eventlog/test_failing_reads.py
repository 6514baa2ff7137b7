"""A disk that fails while the log is read is named as that, and passes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fraud.errors import Unavailable
from fraud.eventlog.log import NewToken
from fraud.eventlog.sqlite import SqliteEventLog
from tests.eventlog.events import scored

READS: dict[str, Callable[[SqliteEventLog], object]] = {
    "first": lambda log: log.first(),
    "tokens": lambda log: list(log.tokens()),
    "next_surrogates": lambda log: log.next_surrogates(),
    "erasures": lambda log: log.erasures(),
    "read": lambda log: log.read(0, 9),
    "decisions": lambda log: log.decisions((), 0, "", 0, 9),
    "last_applied": lambda log: log.last_applied(),
    "prune": lambda log: log.prune(1, 2),
}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteEventLog]:
    log = SqliteEventLog.open(tmp_path / "events.sqlite", writable=True, entity_names=("card",))
    log.append([scored("a")], 1, [NewToken(0, 0, "ann")])
    yield log
    log.close()


@pytest.mark.parametrize("name", READS)
def test_a_read_that_fails_is_unavailable_and_works_again_later(log: SqliteEventLog, name: str) -> None:
    reader = log._reader()
    reader.set_progress_handler(lambda: 1, 1)
    with pytest.raises(
        Unavailable, match=r"events\.sqlite: cannot be read now \(interrupted\); check the disk"
    ):
        READS[name](log)
    reader.set_progress_handler(None, 1)
    READS[name](log)


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("name", ["head", "last_arrival_us"])
def test_so_is_one_by_another_process(tmp_path: Path, name: str) -> None:
    other = SqliteEventLog.open(tmp_path / "events.sqlite", writable=False, entity_names=("card",))
    other._reader().set_progress_handler(lambda: 1, 1)
    with pytest.raises(Unavailable, match="check the disk"):
        getattr(other, name)()
    other._reader().set_progress_handler(None, 1)
    assert getattr(other, name)() == 1
    other.close()
