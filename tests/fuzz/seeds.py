"""Bytes that each target takes: small, made here, the same each time."""

import functools
import hashlib
import io
import json
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from google.protobuf.json_format import MessageToDict

from fraud.errors import Damaged
from fraud.eventlog.codec import encode
from fraud.eventlog.log import Erasure
from fraud.eventlog.memory import MemoryEventLog
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.features.state import Rows
from fraud.labels.standing import ConflictRule
from fraud.policy.lists import Lists
from fraud.policy.spending import Spending
from fraud.records import BatchRetracted, EntityListed
from fraud.registry.chain import LedgerEntry, entry_hash
from fraud.serving.credentials import Credential, spelled
from fraud.settings import Settings, settings_from
from fraud.upkeep.inventory import NAME as INVENTORY_NAME
from fraud.upkeep.inventory import Inventory, Line
from tests.bundle.made import made_bundle
from tests.eventlog.events import applied, labels, outcomes, scored
from tests.serving.worlds import CONFIG, START_US, Stream

NOW_US: Final = START_US + 30 * 86_400_000_000
SNAPSHOT_AT: Final = 3
"""Where a snapshot stands in `short_log`."""
_EXPLORATION: Final = """
[models.card.policy.exploration]
rate = 0.5
key = "a key of enough letters"
amount_max_minor = 30000
budget_minor = 60000
entity_budget_minor = { merchant = 25000 }
"""
_IMPORT: Final = """
[import]
model = "card"
transaction_id = "id"
event_time = "at"
amount = "amount"
amount_unit = "minor"
label = "fraud"
label_source = "chargeback"
label_delay = "7d"
[import.entities]
card = "card"
merchant = "shop"
[import.numeric]
distance = "km"
[import.categorical]
channel = "way"
"""


def configuration() -> str:
    """Return a small configuration."""
    return CONFIG


def importing() -> Settings:
    """Return the same configuration with columns for a history."""
    return settings_from(tomllib.loads(CONFIG + _IMPORT), {}, Path("fraud.toml"))


def configurations() -> list[bytes]:
    """Return configurations: a small one, and the one that shows every setting."""
    shown = files("fraud.settings").joinpath("example.toml").read_bytes()
    return [CONFIG.encode(), (CONFIG + _IMPORT).encode(), shown]


def environments() -> list[bytes]:
    """Return variables, one a line, without their prefix."""
    return [b"SERVER__PORT=5\nLOG__DURABILITY=process", b"MODELS__CARD__POLICY__REVIEW__SHARE=0.1"]


def transactions() -> list[bytes]:
    """Return payments."""
    return [wire.SerializeToString(deterministic=True) for wire in Stream(seed=3).take(4)]


def events() -> list[bytes]:
    """Return a log entry of each kind behind the byte of its kind."""
    made = [
        scored("t"),
        labels("b"),
        outcomes("t"),
        applied("card", "card-1"),
        BatchRetracted("b", "ann", "wrong file"),
        EntityListed("block", "card", 7, 0, "ann", "stolen"),
    ]
    return [bytes([kind]) + body for kind, body in map(encode, made)]  # type: ignore[arg-type]


def ledger_row(seq: int, kind: str, body_json: str, previous: str) -> LedgerEntry:
    """Return an entry as the store reads it from a row, its hash right.

    Raises:
        Damaged: the body is no JSON object.
    """
    from fraud.registry.store import body_of

    try:
        body = body_of(body_json)
    except ValueError as error:
        raise Damaged(f"entry {seq}: {error}") from error
    own = entry_hash(seq, seq, kind, "ann", "why", body_json, previous)
    return LedgerEntry(seq, seq, kind, "ann", "why", body, previous, own)


def ledgers() -> list[bytes]:
    """Return ledgers: a version that is registered, judged and promoted, and what people ask for."""
    manifest = dict(made_bundle().manifest) | {
        "positions": {"traffic": [1, 9], "train": [1, 9], "calibration": [1, 9]}
    }
    version: dict[str, Any] = {"version": "card-1", "model": "card", "recipe": "full", "digest": "0" * 64}
    version |= {"parent": "", "attempt": 1, "challengers": 1, "cut_position": 9, "cut_time_us": 1}
    verdict = {"version": "card-1", "model": "card", "verdict": "PROMOTE", "way": "floors", "against": ""}
    evidence = {"cut": {"position": 9, "time_us": 1}, "view": '[{"batch_id":"a","what":"labels"}]'}
    promoted = {"version": "card-1", "model": "card", "expected": "", "probation_us": 5, "verdict": 2}
    exclusion = {"exclusion": {"what": "labels", "batch_id": "b"}, "first_position": 3, "labels": 1}
    exclusion |= {"transactions": 0, "muted": False, "retrain": True}
    rule = {"name": "big", "when": "amount > 5", "outcome": "REVIEW", "stage": "before", "text": ""}
    rows: list[tuple[str, dict[str, Any]]] = [
        ("VersionRegistered", version | {"manifest": manifest}),
        ("VerdictGiven", verdict | {"report": {}, "evidence": evidence}),
        ("Promoted", promoted),
        ("DataExcluded", exclusion),
        ("ExclusionUndone", {"exclusion": 4}),
        ("RulesSet", {"model": "card", "rules": [rule]}),
        ("ExplorationSwitched", {"model": "card", "on": False}),
        ("RetrainRequested", {"model": "", "cut_position": 3, "cut_time_us": 4, "trigger": "by hand"}),
    ]
    return [b"\n".join(f"{kind} {json.dumps(body)}".encode() for kind, body in rows)]


def short_log() -> MemoryEventLog:
    """Return a log of a few entries."""
    log = MemoryEventLog()
    listed = EntityListed("block", "card", 7, 0, "ann", "stolen")
    log.append([scored("t-1"), listed, scored("t-2"), labels("b")], START_US, [])
    return log


def exploring() -> Settings:
    """Return a configuration with budgets for exploration."""
    return settings_from(tomllib.loads(CONFIG + _EXPLORATION), {}, Path("fraud.toml"))


def payments() -> list[bytes]:
    """Return payments as `fraud score` takes them, a JSON object a line."""
    rows = [json.dumps(MessageToDict(it, preserving_proto_field_name=True)) for it in Stream(seed=3).take(3)]
    rows = [json.dumps(json.loads(it) | {"event_time_us": START_US, "amount_minor": 5}) for it in rows]
    return ["\n".join(rows).encode(), b"\xef\xbb\xbf" + rows[0].encode(), rows[1].encode()]


def lists() -> list[bytes]:
    """Return lists as they lie beside a snapshot."""
    held = Lists(settings_from(tomllib.loads(CONFIG), {}, Path("fraud.toml")).schema_.entity_names)
    for place, (name, entity) in enumerate((("block", "card"), ("allow", "card"), ("block", "device"))):
        until_us = (0, NOW_US + 5, NOW_US - 5)[place]
        held.put(EntityListed(name, entity, place, until_us, "ann", "stolen"), START_US)
    return [json.dumps(held.to_dict()).encode()]


def spendings() -> list[bytes]:
    """Return spending as it lies beside a snapshot."""
    held = Spending.of(exploring())
    held.turn(START_US)
    held.models["card"].take((4, 2, -1), 700)
    return [json.dumps(held.to_dict()).encode()]


def commits() -> list[bytes]:
    """Return commits of a Delta table: one that makes it, and one that adds and removes a file, too."""
    first = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": {"id": "1", "format": {"provider": "parquet", "options": {}}, "schemaString": "{}"}},
        {"commitInfo": {"timestamp": 1, "operation": "CREATE TABLE"}},
    ]
    later = [
        {"add": {"path": "part-0%201.parquet", "size": 0, "partitionValues": {}, "modificationTime": 1}},
        {"remove": {"path": "part-0%201.parquet", "deletionTimestamp": 2, "dataChange": False}},
    ]
    return ["\n".join(map(json.dumps, lines)).encode() for lines in (first, [*first, *later])]


def archive_formats() -> list[bytes]:
    """Return the file that says which format an archive has."""
    return [b'{"format": 1}']


def log_notes() -> list[bytes]:
    """Return notes of a log, each behind its key."""
    heading = (["distance"], ["channel"], [["amount", "the amount"], ["hour", "of the day"]])
    erasure = asdict(Erasure(0, 0, 9, START_US, "ann", "case 17", ((1, 2),), 3, 2, 1))
    told = {name: erasure[name] for name in erasure if name not in ("entity_index", "surrogate")}
    notes = {
        "entities": ["card", "merchant", "device"],
        "heading:1": heading,
        "pruned": [0, 0],
        "erasure": told,
    }
    return [f"{key} {json.dumps(text)}".encode() for key, text in notes.items()]


@functools.cache
def snapshots() -> list[bytes]:
    """Return a snapshot of state with a few payments and labels."""
    settings = settings_from(tomllib.loads(CONFIG), {}, Path("fraud.toml"))
    fold = FeatureFold(FeatureSpec.of(settings), ConflictRule.of(settings.labels))
    times = np.arange(4, dtype=np.int64) * 1_000_000 + START_US
    surrogates = np.array([[0, 0, -1], [1, 0, 0], [0, 1, -1], [2, 1, 1]], np.int32)
    rows = Rows(times, np.full(4, 500, np.int64), surrogates, np.ones((4, 1)))
    fold.score([f"t{i}" for i in range(4)], rows)
    fold.advance(7)
    with tempfile.TemporaryDirectory() as folder:
        return [fold.save(Path(folder)).read_bytes()]


_LABELS: Final = [
    ("t-1", "FRAUD", "2026-03-01T12:00:00Z", "case 12"),
    ("t-2", "legitimate", "1700000000000000", ""),
    ("7", "WITHDRAWN", "2026-03-01", ""),
]
_COLUMNS: Final = ("transaction_id", "value", "label_time", "comment")


def label_tables() -> list[bytes]:
    """Return label files as CSV."""
    lines = [",".join(_COLUMNS), *(",".join(row) for row in _LABELS)]
    quoted = (line.replace("case 12", '"case 12"') for line in lines)
    return ["\n".join(lines).encode(), "\r\n".join(quoted).encode()]


def label_lines() -> list[bytes]:
    """Return label files as JSON lines."""
    return ["\n".join(json.dumps(dict(zip(_COLUMNS, row, strict=True))) for row in _LABELS).encode()]


def _parquet(frame: pl.DataFrame) -> bytes:
    held = io.BytesIO()
    frame.write_parquet(held)
    return held.getvalue()


def negative_page(frame: pl.DataFrame) -> bytes:
    """Return Parquet of a frame of 200 rows whose first page says that it holds -201 values.

    One byte tells the two apart, zigzag and varint; Polars asks for 2 EiB to read that page.
    """
    assert frame.height == 200
    held = io.BytesIO()
    frame.write_parquet(held, compression="uncompressed", statistics=False)
    return held.getvalue().replace(b"\x90\x03", b"\x91\x03", 1)


def made_up_labels() -> bytes:
    """Return a label file as Parquet at which Polars ends its process."""
    return negative_page(pl.DataFrame({name: ["x", None] * 100 for name in _COLUMNS}))


def made_up_history() -> bytes:
    """Return a history as Parquet at which Polars ends its process."""
    return negative_page(pl.concat([_history()] * 50).with_columns(id=pl.Series(["x", None] * 100)))


def label_parquet() -> list[bytes]:
    """Return label files as Parquet."""
    return [_parquet(pl.DataFrame(_LABELS, schema=list(_COLUMNS), orient="row"))]


def _history() -> pl.DataFrame:
    times = [START_US + i * 1_000_000 for i in range(4)]
    columns = {"id": ["a", "b", "c", "d"], "at": times, "amount": [5, 6, 7, 8], "fraud": [0, 1, 0, 0]}
    return pl.DataFrame(
        columns | {"card": ["c", "c", "d", "d"], "shop": ["s"] * 4, "km": [1.5] * 4, "way": ["w"] * 4}
    )


def history_tables() -> list[bytes]:
    """Return histories as CSV."""
    return [_history().write_csv().encode()]


def history_parquet() -> list[bytes]:
    """Return histories as Parquet."""
    return [_parquet(_history())]


def id_files() -> list[bytes]:
    """Return files of transaction ids."""
    return [b"t-1\nt-2\n", b"transaction_id,comment\nt-1,x\n"]


def rule_files() -> list[bytes]:
    """Return files of rules."""
    big = b'[[rule]]\nname = "big"\nwhen = "amount > 500 AND channel = \'web\'"\noutcome = "REVIEW"\n'
    return [big, big + b'stage = "after"\ntext = "why"\n']


def identity_files() -> list[bytes]:
    """Return files of identities."""
    rows = (
        Credential("3f", "shop", ("scorer",), "0" * 64, "", 1, "ann", 0),
        Credential("4a", "bank", ("analyst", "raw_scores"), "", "cn:bank", 1, "ann", 9, 10),
    )
    return [spelled(rows).encode()]


def strategy_files() -> list[bytes]:
    """Return files of strategies."""
    return [files("fraud.adversary").joinpath("strategies.toml").read_bytes()]


def strategy_json() -> list[bytes]:
    """Return the same as JSON."""
    return [json.dumps(tomllib.loads(text.decode())).encode() for text in strategy_files()]


def made_inventory(contents: Mapping[str, bytes]) -> Inventory:
    """Return the inventory of these files."""
    lines = [Line(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()]
    return Inventory(
        "0.1.0", 1, "payments", {"event log": 2}, 1, 2, 2, 0, "0" * 64, 0, {}, (), 0, tuple(lines)
    )


_CONTENTS: Final = {"fraud.toml": b"[service]\n", "data/events.sqlite": b"log", "data/state/a.json": b"{}"}


def inventories() -> list[bytes]:
    """Return the inventory of a backup."""
    return [made_inventory(_CONTENTS).to_json().encode()]


def tar_of(contents: Mapping[str, bytes]) -> bytes:
    """Return a tar file of these files."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return held.getvalue()


def backups() -> list[bytes]:
    """Return a backup in one file."""
    return [tar_of({INVENTORY_NAME: inventories()[0], **_CONTENTS})]
