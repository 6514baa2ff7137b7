"""What reads bytes that somebody else may have written, each as one function of bytes.

    bytes ─▶ read ─▶ returns, or raises a `FraudError`; anything else is a finding

The same targets are tried by hypothesis in the test run and by coverage with
`python -m tests.fuzz` (`make fuzz`).
"""

import contextlib
import functools
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fraud.adversary.strategy import read_strategies
from fraud.bundle.bundle import BOOSTER_FILE, DESCRIPTION_FILE, SELFTEST_FILE, Bundle
from fraud.cli.id_file import read_ids
from fraud.cli.label_file import read_labels
from fraud.cli.rule_file import read_rules
from fraud.errors import FraudError
from fraud.eventlog import codec
from fraud.eventlog.codec import decode, encode
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.registry.ledger import RegistryState
from fraud.serving.credentials import read_credentials
from fraud.serving.edge import decoder
from fraud.serving.history_table import read_history
from fraud.serving.intake import TransactionIntake
from fraud.settings import Settings, load_settings, settings_from
from fraud.upkeep.inventory import Inventory, opened
from fraud.v1.transaction_pb2 import Transaction
from tests.fuzz import seeds

MESSAGE_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """A reader of bytes; `seeds` gives bytes that it takes."""

    name: str
    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]

    def try_(self, data: bytes) -> str:
        """Read some bytes; return the code of the error that named what is wrong, "" where they were taken.

        Raises:
            Exception: whatever is no `FraudError`, which is a finding.
        """
        try:
            self.read(data)
        except FraudError as error:
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
    """Read a bundle whose description is these bytes; the other files are those it names."""
    whole = dict(seeds.bundle_files())
    whole[DESCRIPTION_FILE] = data
    return Bundle.from_files(whole)


def selftest(data: bytes) -> object:
    """Read a bundle whose self-test is these bytes, with a digest that says so."""
    return Bundle.from_files(seeds.resealed({SELFTEST_FILE: data}))


def booster(data: bytes) -> object:
    """Read a bundle whose booster is these bytes, digests that go with them, and let it explain."""
    made = Bundle.from_files(seeds.resealed({BOOSTER_FILE: data}))
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
    return read_credentials(data.decode("utf-8", "replace"), "identities.json")


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


def _reader(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    return lambda data: read(at(name, data))


def _history(path: Path) -> object:
    return read_history(seeds.importing(), path)


TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        name: Target(name, read, given)
        for name, read, given in (
            ("transaction", transaction, seeds.transactions),
            ("event", event, seeds.events),
            ("blanked", blanked, seeds.events),
            ("ledger", ledger, seeds.ledgers),
            ("bundle", bundle, seeds.descriptions),
            ("selftest", selftest, seeds.selftests),
            ("booster", booster, seeds.boosters),
            ("snapshot", features, seeds.snapshots),
            ("settings", configuration, seeds.configurations),
            ("environment", environment, seeds.environments),
            ("labels-csv", _reader("labels.csv", read_labels), seeds.label_tables),
            ("labels-lines", _reader("labels.jsonl", read_labels), seeds.label_lines),
            ("labels-parquet", _reader("labels.parquet", read_labels), seeds.label_parquet),
            ("history-csv", _reader("history.csv", _history), seeds.history_tables),
            ("history-parquet", _reader("history.parquet", _history), seeds.history_parquet),
            ("ids", _reader("ids.csv", read_ids), seeds.id_files),
            ("rules", rules, seeds.rule_files),
            ("identities", identities, seeds.identity_files),
            ("strategies", _reader("strategies.toml", read_strategies), seeds.strategy_files),
            ("strategies-json", _reader("strategies.json", read_strategies), seeds.strategy_json),
            ("inventory", inventory, seeds.inventories),
            ("backup", archive, seeds.backups),
        )
    }
)
