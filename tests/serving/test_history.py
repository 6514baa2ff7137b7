"""A history goes into an empty log, with each label where it became known; bad files are named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fraud.clock import DAY_US, HOUR_US
from fraud.errors import ConfigError, InvalidInput, NotAllowedNow
from fraud.eventlog.folder import open_log
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.faults import VARIABLE
from fraud.features.fold import FeatureFold
from fraud.features.replay import replay
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.records import Entry, LabelsSubmitted, Scored
from fraud.serving import history
from fraud.serving.feedback import coordinates_of
from fraud.serving.history import ImportSummary, import_history
from fraud.serving.history_table import read_history
from fraud.serving.logged_features import features_of
from fraud.serving.recovery import Snapshots
from fraud.settings import Settings, load_settings
from tests.serving.worlds import CONFIG, START_US

MAPPING = """
[import]
model = "card"
transaction_id = "id"
event_time = "time"
amount = "amount"
label = "fraud"
label_source = "chargeback"
label_delay = "1d"
[import.entities]
card = "card"
merchant = "shop"
[import.categorical]
channel = "channel"
"""


def configured(folder: Path, mapping: str = MAPPING) -> Settings:
    (folder / "fraud.toml").write_text(CONFIG + mapping)
    return load_settings(folder / "fraud.toml", {})


def made(folder: Path, seed: int, rows: int = 700, days: int = 6) -> tuple[Path, pl.DataFrame]:
    """A history in no particular order."""
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "id": np.arange(rows),
            "time": (START_US + rng.integers(0, days * DAY_US, rows)).astype("datetime64[us]"),
            "amount": np.round(rng.lognormal(3, 1, rows), 2),
            "card": rng.integers(0, 60, rows),
            "shop": rng.integers(0, 20, rows),
            "channel": rng.choice(["web", "shop"], rows),
            "fraud": (rng.random(rows) < 0.1).astype(int),
        }
    )
    path = folder / "history.parquet"
    frame.write_parquet(path)
    return path, frame


def logged(settings: Settings) -> tuple[SqliteEventLog, list[Entry]]:
    log = open_log(settings)
    return log, log.read(0, 100_000)


@pytest.mark.parametrize("chunk", [1, 97, 20_000])
def test_every_row_is_logged_once_and_each_label_after_its_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(history, "_CHUNK_ROWS", chunk)
    settings = configured(tmp_path)
    path, frame = made(tmp_path, seed=chunk, rows=200 if chunk == 1 else 700)
    steps: list[tuple[int, int]] = []
    summary = import_history(settings, path, lambda done, total: steps.append((done, total)))
    log, entries = logged(settings)
    scored = [entry for entry in entries if isinstance(entry.event, Scored)]
    assert steps[-1] == (len(frame), len(frame))
    assert sorted(
        int(entry.event.transaction_id) for entry in scored if isinstance(entry.event, Scored)
    ) == list(range(len(frame)))
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    arrivals = [entry.arrival_time_us for entry in entries]
    assert arrivals == sorted(arrivals)

    last_us = max(entry.event.event_time_us for entry in scored if isinstance(entry.event, Scored))
    times = dict(zip(frame["id"].to_list(), frame["time"].dt.timestamp("us").to_list(), strict=True))
    labels = {
        int(label.transaction_id): (entry.arrival_time_us, label.label_time_us)
        for entry in entries
        if isinstance(entry.event, LabelsSubmitted)
        for label in entry.event.labels
    }
    frauds = frame.filter(pl.col("fraud") == 1)["id"].to_list()
    known = [name for name in frauds if times[name] + DAY_US <= last_us]
    assert labels == {name: (times[name] + DAY_US, times[name] + DAY_US) for name in known}
    assert isinstance(summary, ImportSummary)
    assert (summary.transactions, summary.frauds) == (len(frame), len(known))
    assert {int(it.transaction_id): it.label_time_us for it in summary.later} == {
        name: times[name] + DAY_US for name in frauds if name not in known
    }
    assert len(summary.later) == len(frauds) - len(known) > 0
    log.close()


def test_an_import_is_what_a_replay_of_its_log_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_CHUNK_ROWS", 150)
    settings = configured(tmp_path)
    path, _ = made(tmp_path, seed=5)
    import_history(settings, path)
    log, entries = logged(settings)
    spec, rule = FeatureSpec.of(settings), ConflictRule.of(settings.labels)
    fold = FeatureFold(spec, rule)
    for run, computed in replay(fold, entries, lambda ids: coordinates_of(log.find(ids))):
        scored = [entry.event for entry in run if isinstance(entry.event, Scored)]
        expected = features_of(scored, len(spec.names))
        np.testing.assert_array_equal(expected.view(np.uint32), computed.view(np.uint32))
    fold.advance(log.head())
    snapshot = Snapshots(settings.places.state, 2).latest(spec, rule, log.head())
    log.close()
    assert snapshot is not None
    assert snapshot.equals(fold)


@pytest.mark.parametrize(("currency", "minor"), [("EUR", 500_000), ("JPY", 5_000), ("KWD", 5_000_000)])
def test_an_amount_comes_in_as_a_payment_would_bring_it(tmp_path: Path, currency: str, minor: int) -> None:
    path, frame = made(tmp_path, seed=6, rows=20)
    frame.with_columns(amount=pl.lit(5_000.0)).write_parquet(path)
    configured(tmp_path)
    settings = load_settings(tmp_path / "fraud.toml", {"FRAUD__SERVICE__CURRENCY": currency})
    assert set(read_history(settings, path).rows.amount_minor.tolist()) == {minor}


def test_until_leaves_out_what_comes_later(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    path, frame = made(tmp_path, seed=6)
    until_us = START_US + 2 * DAY_US + HOUR_US
    summary = import_history(settings, path, until_us=until_us)
    assert summary.transactions == frame.filter(pl.col("time").dt.timestamp("us") < until_us).height


def test_only_an_empty_log_takes_a_history(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    path, _ = made(tmp_path, seed=7)
    import_history(settings, path)
    with pytest.raises(NotAllowedNow, match="goes into an empty log only"):
        import_history(settings, path)


@pytest.mark.process
def test_an_import_that_was_killed_leaves_an_empty_log_and_is_done_again(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    path, frame = made(tmp_path, seed=10)
    command = [
        sys.executable,
        "-m",
        "fraud.cli",
        "--config",
        str(tmp_path / "fraud.toml"),
        "import",
        str(path),
    ]
    killed = subprocess.run(command, env=os.environ | {VARIABLE: "import.appended"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    log, entries = logged(settings)
    assert (log.head(), entries, list(log.tokens())) == (0, [], [])
    log.close()
    assert import_history(settings, path).transactions == len(frame)


def test_without_a_mapping_the_message_names_the_section(tmp_path: Path) -> None:
    path, _ = made(tmp_path, seed=8)
    with pytest.raises(ConfigError, match=r"map the history's columns in \[import\]"):
        import_history(configured(tmp_path, ""), path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.drop("amount"), r"has no column amount; map in \[import\] to: id, time"),
        (lambda f: f.with_columns(id=pl.lit(1)), "transaction_id: given twice in 700 rows, first row 1"),
        (lambda f: f.with_columns(amount=-pl.col("amount")), "amount: missing, negative or above"),
        (lambda f: f.with_columns(card=pl.lit(None, pl.Int64)), "entity card: missing in 700 rows"),
        (lambda f: f.with_columns(time=pl.lit("yesterday")), "row 1, column time: 'yesterday' is no time"),
        (lambda f: f.with_columns(time=pl.lit(True)), "column time: is Boolean, no time"),
        (lambda f: f.head(0), "holds no rows"),
    ],
)
def test_a_bad_history_is_refused_whole_by_name(tmp_path: Path, change: object, says: str) -> None:
    settings = configured(tmp_path)
    path, frame = made(tmp_path, seed=9)
    assert callable(change)
    change(frame).write_parquet(path)
    with pytest.raises(InvalidInput, match=says):
        import_history(settings, path)
    assert not settings.places.log.exists()


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    with pytest.raises(InvalidInput, match="does not exist"):
        import_history(settings, tmp_path / "nothing.csv")
    (tmp_path / "history.xlsx").write_text("x")
    with pytest.raises(InvalidInput, match=r"neither .csv nor .parquet"):
        import_history(settings, tmp_path / "history.xlsx")
    (tmp_path / "history.parquet").write_text("x")
    with pytest.raises(InvalidInput, match="cannot be read"):
        import_history(settings, tmp_path / "history.parquet")
