"""What reads bytes that somebody else may have written, each as one function of bytes.

    bytes ─▶ read ─▶ returns, or raises one of the errors that the target allows; anything else is a finding

The same targets are tried by hypothesis in the test run and by coverage with
`python -m tests.fuzz` (`make fuzz`).
"""

import contextlib
import functools
import json
import shutil
import sqlite3
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from fraud.adversary.strategy import read_strategies
from fraud.archive import mending
from fraud.archive.marking import NAME as MARK
from fraud.archive.marking import check_format, format_of
from fraud.bundle.bundle import BOOSTER_FILE, SELFTEST_FILE, Bundle
from fraud.bundle.folds import SERVED
from fraud.cli.id_file import read_ids
from fraud.cli.label_file import read_labels
from fraud.cli.rule_file import read_rules
from fraud.cli.score import _message, _read
from fraud.errors import ConfigError, Conflict, Damaged, FraudError, InvalidInput, NotAllowedNow, NotFound
from fraud.eventlog import codec
from fraud.eventlog.codec import decode, encode
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import View
from fraud.labels.standing import ConflictRule
from fraud.policy.lists import Lists
from fraud.policy.spending import Spending
from fraud.registry.ledger import RegistryState
from fraud.serving import recovery
from fraud.serving.credentials import read_credentials
from fraud.serving.edge import decoder
from fraud.serving.history_table import read_history
from fraud.serving.intake import TransactionIntake
from fraud.settings import Settings, load_settings, settings_from
from fraud.upkeep.inventory import Inventory, opened
from fraud.v1.transaction_pb2 import Transaction
from tests.fuzz import bundles, logs, seeds

MESSAGE_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """A reader of bytes; `seeds` gives bytes that it takes, `allowed` is how it may refuse others."""

    name: str
    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    allowed: tuple[type[FraudError], ...]

    def try_(self, data: bytes) -> str:
        """Read some bytes; return the code of the error that named what is wrong, "" where they were taken.

        Raises:
            Exception: whatever is not allowed, which is a finding.
        """
        try:
            self.read(data)
        except self.allowed as error:
            code, text = error.code, str(error)
        else:
            return ""
        assert text, f"{self.name}: an error of code {code} says nothing"
        return code


@functools.cache
def settings() -> Settings:
    """Return the configuration that requests and files are held against."""
    return settings_from(tomllib.loads(seeds.configuration()), {}, Path("fraud.toml"))


@functools.cache
def folder() -> Path:
    """Return a folder for files that live as long as this process."""
    held = tempfile.TemporaryDirectory(prefix="fraud-fuzz-")
    _HELD.callback(held.cleanup)
    return Path(held.name)


_HELD = contextlib.ExitStack()


def at(name: str, data: bytes) -> Path:
    """Write bytes to a file of this name; return its path."""
    path = folder() / name
    path.write_bytes(data)
    return path


def transaction(data: bytes) -> object:
    """Decode a transaction at the edge, then take it in."""
    wire = decoder(Transaction, MESSAGE_BYTES_MAX)(data)
    if isinstance(wire, FraudError):
        raise wire
    return TransactionIntake(settings()).read(wire, seeds.NOW_US)


def event(data: bytes) -> object:
    """Decode a log entry whose first byte is its kind; what decodes must come back the same when written."""
    kind, body = (data[0], data[1:]) if data else (0, b"")
    read = decode(kind, body)
    again = encode(read)
    assert encode(decode(*again)) == again
    return read


def view(data: bytes) -> object:
    """Read a view as a log spells it, and hide by it; it comes back from its spelling."""
    read = View.from_text(data.decode("utf-8", "replace"))
    assert View.from_text(read.to_text()) == read
    read.hides_label("b", "analyst", "ann", seeds.NOW_US)
    times, surrogates = np.array([seeds.NOW_US]), np.array([[1, 0, 0]], np.int32)
    return read.hidden_rows(times, surrogates, settings().schema_.entity_names)


def folded(data: bytes) -> object:
    """Fold a log of these entries, with budgets to spend, as a start and a replay do."""
    return logs.folded(data, seeds.exploring(), recovery.Snapshots(folder() / "no snapshots", 1))


def blanked(data: bytes) -> object:
    """Blank what is personal in a log entry."""
    kind, body = (data[0], data[1:]) if data else (0, b"")
    blank = codec.blank(kind, body, (0, 1), {"b-1", "b-0"})
    assert blank is None or len(blank) <= len(body)
    return blank


def ledger(data: bytes) -> object:
    """Fold a ledger of one body per line, each behind its kind, as a store would hand it over."""
    state = RegistryState()
    for seq, line in enumerate(data.split(b"\n")[:40], start=1):
        kind, _, body = line.partition(b" ")
        text = body.decode("utf-8", "replace")
        entry = seeds.ledger_row(seq, kind.decode("utf-8", "replace"), text, state.last_hash)
        state.apply(entry)
    return state


def bundle(data: bytes) -> object:
    """Read a bundle whose description is these bytes, the other files those it names, and have it judge."""
    return _judged(Bundle.from_files(bundles.described(data)))


def fold(data: bytes) -> object:
    """Have a bundle judge of which these bytes are the booster of a fold."""
    return _judged(bundles.with_fold(data))


def _judged(made: Bundle) -> object:
    """Judge the rows of the self-test, dealt out to the boosters there are: of folds, and the served one."""
    rows = made.selftest.matrix
    each = np.arange(len(rows)) % (len(made.folds) + 1) + SERVED
    return made.margins_without(rows, each.astype(np.int8))


def selftest(data: bytes) -> object:
    """Read a bundle whose self-test is these bytes, with a digest that says so."""
    return Bundle.from_files(bundles.resealed({SELFTEST_FILE: data}))


def booster(data: bytes) -> object:
    """Read a bundle whose booster is these bytes, digests that go with them, and let it explain."""
    made = Bundle.from_files(bundles.resealed({BOOSTER_FILE: data}))
    made.margins(made.selftest.matrix)
    return made.contributions(made.selftest.matrix[:4])


def features(data: bytes) -> object:
    """Load a snapshot of feature state."""
    held = settings()
    path = at("features-00000000000000000007.npz", data)
    return FeatureFold.load(path, FeatureSpec.of(held), ConflictRule.of(held.labels))


def configuration(data: bytes) -> object:
    """Load `fraud.toml`."""
    return load_settings(at("fraud.toml", data), {})


def environment(data: bytes) -> object:
    """Lay variables, one a line, over a configuration."""
    lines = data.decode("utf-8", "replace").split("\n")
    pairs = (line.partition("=") for line in lines)
    given = {f"FRAUD__{name}": text for name, _, text in pairs}
    return load_settings(at("plain.toml", seeds.configuration().encode()), given)


def identities(data: bytes) -> object:
    """Read a file of identities."""
    return read_credentials(data, "identities.json")


def rules(data: bytes) -> object:
    """Read a file of rules."""
    return read_rules(at("rules.toml", data), settings())


def inventory(data: bytes) -> object:
    """Read the inventory of a backup."""
    return Inventory.from_json(data.decode("utf-8", "replace"), "backup")


def archive(data: bytes) -> object:
    """Open a backup in one file and read what its inventory names, as a restore does."""
    from fraud.upkeep.restoring import copy_all

    with tempfile.TemporaryDirectory(dir=folder()) as into, opened(at("backup.tar", data)) as (told, source):
        copy_all(told, source, Path(into), "backup.tar")
        return told


def payments(data: bytes) -> object:
    """Read the payments that `fraud score` is given, as a file and, where it is one alone, as an argument."""
    given = [str(at("payments.jsonl", data))]
    if data.startswith(b"{") and b"\n" not in data:
        given.append(data.decode("utf-8", "replace"))
    return [[_message(row, where) for row, where in _read(each)] for each in given]


def lists_beside(data: bytes) -> object:
    """Take the lists that lie beside a snapshot, or those of the log; a payment must be decided by them."""
    at(f"lists-{seeds.SNAPSHOT_AT:020d}.json", data)
    snapshots, log = recovery.Snapshots(folder(), 1), seeds.short_log()
    names = settings().schema_.entity_names
    archive = open_archive(settings(), folder() / "no archive")
    lists = recovery._lists_at(seeds.SNAPSHOT_AT, names, log, archive, snapshots)
    lists.turn(seeds.NOW_US)
    assert len(lists) >= 0
    lists.deciding((1, -1, 7), seeds.NOW_US)
    again = Lists(names)
    again.resume(json.loads(json.dumps(lists.to_dict())))
    assert list(again.listings(seeds.NOW_US)) == list(lists.listings(seeds.NOW_US))
    return lists


def spending_beside(data: bytes) -> object:
    """Take the spending that lies beside a snapshot, or that of the log; more must be spent on top of it."""
    at(f"exploration-{seeds.SNAPSHOT_AT:020d}.json", data)
    spending, log = Spending.of(seeds.exploring()), seeds.short_log()
    recovery._resume(spending, log, recovery.Snapshots(folder(), 1), seeds.SNAPSHOT_AT, 2)
    spending.turn(log.last_arrival_us())
    for spent in spending.models.values():
        spent.take((1, 2, -1), 500)
        assert spent.left_minor is None or spent.left_minor >= 0
    json.dumps(spending.to_dict())
    return spending


def commit(data: bytes) -> object:
    """Read a commit of a Delta table, and set it aside where it is torn."""
    with tempfile.TemporaryDirectory(dir=folder()) as table:
        path = Path(table) / mending.LOG / f"{0:020d}.json"
        path.parent.mkdir()
        path.write_bytes(data)
        added = mending.added_by(path)
        assert all(isinstance(name, str) for name in added)
        mending.mend(Path(table))
        assert mending.mend(Path(table)) == [], "what is mended stays so"
        return added


def archive_format(data: bytes) -> object:
    """Read which format an archive has."""
    at(MARK, data)
    check_format(folder())
    return format_of(folder())


def log_notes(data: bytes) -> object:
    """Read what stands in a log beside its entries: entity names, headings, how far it is pruned, erasures.

    The bytes are the key of a note, a space, and its text.
    """
    key, _, text = data.decode("utf-8", "replace").partition(" ")
    path = folder() / "noted.sqlite"
    shutil.copy(_log(), path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if key == "erasure":
            connection.execute("INSERT INTO erasures VALUES (0, 0, ?)", (text,))
        else:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))
        connection.commit()
    names = settings().schema_.entity_names
    with contextlib.closing(SqliteEventLog.open(path, writable=False, entity_names=names)) as log:
        return log.head(), log.first(), list(log.headings()), log.erasures()


@functools.cache
def _log() -> Path:
    """Return a log without entries."""
    path = folder() / "empty.sqlite"
    SqliteEventLog.open(path, writable=True, entity_names=settings().schema_.entity_names).close()
    return path


def _reader(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    return lambda data: read(at(name, data))


def _history(path: Path) -> object:
    return read_history(seeds.importing(), path)


_Errors = tuple[type[FraudError], ...]
_NONE: _Errors = ()
_FILE: _Errors = (InvalidInput,)
_STORED: _Errors = (Damaged,)
_CONFIG: _Errors = (ConfigError,)
_NOTES: _Errors = (Damaged, ConfigError)
_LEDGER: _Errors = (Damaged, InvalidInput, NotFound, NotAllowedNow, Conflict)

TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        name: Target(name, read, given, allowed)
        for name, read, given, allowed in (
            ("transaction", transaction, seeds.transactions, _FILE),
            ("payments", payments, seeds.payments, _FILE),
            ("event", event, seeds.events, _STORED),
            ("blanked", blanked, seeds.events, _STORED),
            ("view", view, logs.view_texts, _STORED),
            ("folded", folded, logs.logs, _STORED),
            ("ledger", ledger, seeds.ledgers, _LEDGER),
            ("bundle", bundle, bundles.descriptions, _STORED),
            ("selftest", selftest, bundles.selftests, _STORED),
            ("booster", booster, bundles.boosters, _STORED),
            ("fold", fold, bundles.fold_boosters, _STORED),
            ("snapshot", features, seeds.snapshots, _STORED),
            ("lists-beside", lists_beside, seeds.lists, _NONE),
            ("spending-beside", spending_beside, seeds.spendings, _NONE),
            ("commit", commit, seeds.commits, _NONE),
            ("archive-format", archive_format, seeds.archive_formats, _STORED),
            ("log-notes", log_notes, seeds.log_notes, _NOTES),
            ("settings", configuration, seeds.configurations, _CONFIG),
            ("environment", environment, seeds.environments, _CONFIG),
            ("labels-csv", _reader("labels.csv", read_labels), seeds.label_tables, _FILE),
            ("labels-lines", _reader("labels.jsonl", read_labels), seeds.label_lines, _FILE),
            ("labels-parquet", _reader("labels.parquet", read_labels), seeds.label_parquet, _FILE),
            ("history-csv", _reader("history.csv", _history), seeds.history_tables, _FILE),
            ("history-parquet", _reader("history.parquet", _history), seeds.history_parquet, _FILE),
            ("ids", _reader("ids.csv", read_ids), seeds.id_files, _FILE),
            ("rules", rules, seeds.rule_files, _FILE),
            ("identities", identities, seeds.identity_files, _CONFIG),
            ("strategies", _reader("strategies.toml", read_strategies), seeds.strategy_files, _CONFIG),
            ("strategies-json", _reader("strategies.json", read_strategies), seeds.strategy_json, _CONFIG),
            ("inventory", inventory, seeds.inventories, _STORED),
            ("backup", archive, seeds.backups, _STORED),
        )
    }
)
