"""Nothing of what was erased or pruned is left in the bytes of the files."""

import dataclasses
import re
import sqlite3
import threading
from pathlib import Path
from random import Random

import pytest

from fraud.errors import Unavailable
from fraud.eventlog import Erasure, NewToken, SqliteEventLog
from fraud.eventlog.codec import blank, encode
from fraud.eventlog.tables import STUBS
from fraud.records import Event, Label, LabelsSubmitted, LabelValue
from tests.eventlog.events import scored

NAMES = ["card", "merchant"]


def open_log(path: Path) -> SqliteEventLog:
    return SqliteEventLog.open(path, writable=True, entity_names=NAMES, durability="process")


def bytes_of(path: Path) -> bytes:
    return b"".join(part.read_bytes() for part in sorted(path.parent.glob(f"{path.name}*")))


def grow(log: SqliteEventLog, random: Random, secrets: dict[int, str]) -> None:
    """Append a few rows and tokens; each row carries a secret, noted by position."""
    events: list[Event] = []
    tokens = []
    head = log.head()
    free = log.next_surrogates()
    for i in range(random.randrange(1, 80)):
        at = head + 1 + i
        secret = f"<secret-{at:07d}-{'x' * random.randrange(300)}>"
        secrets[at] = secret
        if random.random() < 0.1:
            rows = tuple(
                Label(f"t{at}-{k}", LabelValue.FRAUD, 1, secret) for k in range(random.choice([1, 60]))
            )
            events.append(LabelsSubmitted(f"b{at}", 0, "analyst", "ann", rows, "d"))
        else:
            events.append(dataclasses.replace(scored(f"t{at}"), categoricals=("web", secret)))
        entity = random.randrange(2)
        number = free.get(entity, 0)
        free[entity] = number + 1
        tokens.append(NewToken(entity, number, f"[token-{entity}-{number:07d}{'y' * random.randrange(60)}]"))
    log.append(events, log.last_arrival_us() + 1, tokens)


def found_in(content: bytes, what: str) -> set[bytes]:
    return set(re.findall(rf"[<\[]{what}-(?:[01]-)?[0-9]{{7}}".encode(), content))


@pytest.mark.parametrize(
    "seed", [0, 6, 11, 45]
)  # 6, 11: deleting at once leaves copies; 45: blanking first, too
def test_erased_and_pruned_rows_are_in_no_byte_of_the_files(tmp_path: Path, seed: int) -> None:
    random, path, secrets = Random(seed), tmp_path / "log.db", {0: ""}
    log = open_log(path)
    erased_rows: set[int] = set()
    erased_tokens: set[bytes] = set()
    for _ in range(60):
        grow(log, random, secrets)
        if random.random() < 0.7:
            # Small steps, so that the cut goes through pages again and again.
            log.prune(min(log.first() + random.randrange(60), log.head() - 100), 2**62)
        if random.random() < 0.4:
            held = range(log.first(), log.head() + 1)
            chosen = random.sample(held, min(len(held), random.randrange(1, 60)))
            log.erase(
                chosen, [1], {f"t{at}" for at in chosen} | {f"t{at}-{k}" for at in chosen for k in range(60)}
            )
            erased_rows |= set(chosen)
        if random.random() < 0.4:
            token = random.choice(list(log.tokens()))
            log.begin_erasure(Erasure(token.entity_index, token.surrogate, log.head(), 1, "dpo", "r"))
            erased_tokens.add(token.token.rstrip("]y").encode())
    log.scrub(5.0)
    content = bytes_of(path)
    gone = {f"<secret-{at:07d}".encode() for at in erased_rows | set(range(1, log.first()))}
    left = found_in(content, "secret")
    assert not left & gone, f"seed {seed}: {sorted(left & gone)[:3]} of {len(gone)}"
    assert not found_in(content, "token") & erased_tokens, f"seed {seed}"
    assert len(left) == len(set(range(log.first(), log.head() + 1)) - erased_rows)
    assert Path(f"{path}-wal").stat().st_size == 0
    log.close()


def test_the_pruned_rows_kept_as_zeros_are_never_read(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db")
    log.append([scored(f"t{i}") for i in range(3 * STUBS)], 1, [])
    log.prune(2 * STUBS, 2)
    assert (log.first(), len(log.read(0, 9_999))) == (2 * STUBS + 1, STUBS)
    assert log.find(["t0", f"t{2 * STUBS - 1}"]) == {}
    assert log.decisions([], 0, "", 0, 9_999)[0].position == 2 * STUBS + 1
    # An id may come again once it is pruned, while the zeros are still there.
    log.append([scored("t0"), scored(f"t{2 * STUBS - 1}")], 2, [])
    connection = sqlite3.connect(tmp_path / "log.db")
    (rows,) = connection.execute("SELECT count(*) FROM entries WHERE kind < 1").fetchone()
    connection.close()
    assert rows == STUBS
    log.close()
    log = open_log(tmp_path / "log.db")
    assert (log.head(), log.first()) == (3 * STUBS + 2, 2 * STUBS + 1)
    log.prune(log.head(), 3)
    assert (log.read(0, 9), log.first()) == ([], log.head() + 1)
    log.close()


def test_a_blanked_body_takes_the_place_of_the_old_one() -> None:
    for length in range(1, 400):
        event = dataclasses.replace(scored("t"), categoricals=("web", "x" * length))
        kind, body = encode(event)
        again = blank(kind, body, [1], ())
        assert again is not None
        assert b"xx" not in again
        assert len(body) - 3 <= len(again) <= len(body)
        assert blank(kind, again, [1], ()) is None


def test_scrubbing_waits_for_a_reader_of_an_old_state_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = open_log(path)
    log.append([scored("a")], 1, [])
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchone()
    log.append([scored("b")], 1, [])
    with pytest.raises(Unavailable, match="a process reads an old state of the log"):
        log.scrub(0.0)
    log.append([scored("c")], 1, [])
    done = threading.Thread(target=log.scrub, args=(180.0,))
    done.start()
    reader.execute("COMMIT")
    done.join()
    assert Path(f"{path}-wal").stat().st_size == 0
    assert log.head() == 3
    reader.close()
    log.close()
