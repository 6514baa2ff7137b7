"""A service with an entity key: no token in clear in any byte it stores, and people type tokens as ever."""

import json
from pathlib import Path

import polars as pl
import pytest

from fraud.cli.main import run
from fraud.client import Client
from fraud.errors import ConfigError, InvalidInput, NotFound
from fraud.eventlog.folder import open_log
from fraud.retrainer.attacks import AttackDesk
from fraud.serving.history import import_history
from fraud.settings import Settings, load_settings
from fraud.v1 import models_pb2
from tests.serving.persons import PERSONAL, files_with
from tests.serving.worlds import CONFIG, Process, Stream, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process
Shown = pytest.CaptureFixture[str]


def keyed(folder: Path, config: str = PERSONAL, key: str = "5a" * 32) -> Settings:
    """Write a configuration with a key."""
    path = folder / "entity.key"
    path.write_text(key)
    path.chmod(0o600)
    text = config.replace("[service]\n", '[service]\nentity_key_file = "entity.key"\n')
    (folder / "fraud.toml").write_text(text, encoding="utf-8")
    return load_settings(folder / "fraud.toml", {})


def sent(client: Client, stream: Stream, rows: int) -> set[str]:
    """Score payments whose tokens are told apart from everything else; return the tokens."""
    wires = stream.take(rows)
    for wire in wires:
        for name in list(wire.entities):
            wire.entities[name] = f"in-clear-{name}-{wire.entities[name]}-of-somebody"
    for i in range(0, rows, 50):
        assert all(it.HasField("decision") for it in client.score_batch(wires[i : i + 50]))
    return {token for wire in wires for token in wire.entities.values()}


def fraud(folder: Path, process: Process, *arguments: str) -> int:
    given = ["--target", process.target, "--config", str(folder / "fraud.toml"), "--output", "json"]
    return run([*arguments, *given])


def test_no_token_is_in_any_byte_of_the_data_folder_and_all_ways_in_know_it(
    tmp_path: Path, capsys: Shown
) -> None:
    settings = keyed(tmp_path)
    with serving(tmp_path) as process, process.client() as client:
        tokens = sent(client, Stream(seed=7), 300)
        card = min(it for it in tokens if "-card-" in it)
        merchant = min(it for it in tokens if "-merchant-" in it)
        listed = client.set_listing("block", "card", card, actor="jane", reason="case 7")
        assert client.list_listings(entity="card", token=card).listings[0].surrogate == listed.surrogate
        again = ("list", "allow", "card", card, "--reason", "case 8", "--actor", "jane")
        assert fraud(tmp_path, process, *again) == 0
        assert client.list_listings(entity="card", token=card).listings[0].list_name == "allow"
        chosen = models_pb2.Selection(
            transactions=True, from_us=1, to_us=1_900_000_000_000_000, where={"merchant": merchant}
        )
        assert client.exclude(chosen, dry_run=True, actor="jane", reason="case 7").transactions > 0
        capsys.readouterr()
        assert fraud(tmp_path, process, "erase", "--entity", f"card={card}", "--dry-run") == 0
        assert json.loads(capsys.readouterr().out)["transactions"] > 0
        desk = AttackDesk.open(settings)
        attack = desk.confirm("card", [("merchant", merchant)], 1, actor="jane", reason="case 7")
        assert dict(attack.entities).keys() == {"merchant"}
        with pytest.raises(NotFound, match="no payment ever had this token"):
            desk.confirm("card", [("merchant", "nobody")], 1, actor="jane", reason="case 7")
        desk.close()
        done = client.erase_entity("card", card, actor="jane", reason="case 7")
        wait_until(lambda: client.erase_entity("card", surrogate=done.surrogate).complete)
        with pytest.raises(NotFound):
            client.erase_entity("merchant", card, dry_run=True)
        assert process.stop() == 0
    assert files_with(tmp_path / "data", (b"in-clear", b"of-somebody")) == []
    log = open_log(settings)
    assert {len(it.token) for it in log.tokens()} == {32}
    log.close()


def test_the_search_finds_tokens_where_there_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "fraud.toml").write_text(CONFIG, encoding="utf-8")
    with serving(tmp_path) as process, process.client() as client:
        sent(client, Stream(seed=7), 50)
        assert process.stop() == 0
    assert files_with(tmp_path / "data", (b"in-clear",)) != []


def test_decisions_are_the_same_bit_for_bit_with_and_without_a_key(tmp_path: Path) -> None:
    bodies = []
    for name in ("with", "without"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "with":
            keyed(folder, CONFIG)
        with serving(folder) as process, process.client() as client:
            sent(client, Stream(seed=9), 150)
            assert process.stop() == 0
        assert run(["replay", "--config", str(folder / "fraud.toml")]) == 0
        settings = load_settings(folder / "fraud.toml", {})
        log = open_log(settings)
        bodies.append([entry.event for entry in log.read(0, 1_000)])
        log.close()
    assert repr(bodies[0]) == repr(bodies[1])


HISTORY = """
[import]
model = "card"
transaction_id = "id"
event_time = "at"
amount = "amount"
label = "fraud"
label_source = "chargeback"
[import.entities]
card = "card"
merchant = "merchant"
[import.categorical]
channel = "channel"
"""


def history(folder: Path, card: str) -> Path:
    rows = {
        "id": ["h1", "h2"],
        "at": [1_700_000_000_000_000, 1_700_000_060_000_000],
        "amount": [12.5, 80.0],
        "fraud": [0, 1],
        "card": [card, "in-clear-other"],
        "merchant": ["in-clear-m1", "in-clear-m1"],
        "channel": ["web", "web"],
    }
    path = folder / "history.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def test_an_imported_history_is_hashed_and_goes_on_live(tmp_path: Path) -> None:
    settings = keyed(tmp_path, CONFIG + HISTORY)
    import_history(settings, history(tmp_path, "in-clear-card"))
    assert files_with(tmp_path / "data", (b"in-clear",)) == []
    with serving(tmp_path) as process, process.client() as client:
        listed = client.set_listing("block", "card", "in-clear-card", actor="jane", reason="case 7")
        assert listed.surrogate == 0, "the card of the history, not a new one"


def test_a_history_with_card_numbers_in_clear_is_refused_without_repeating_them(tmp_path: Path) -> None:
    settings = keyed(tmp_path, CONFIG + HISTORY)
    with pytest.raises(InvalidInput, match="looks like a card number in clear") as caught:
        import_history(settings, history(tmp_path, "4539148803436467"))
    assert "4539" not in str(caught.value)


def test_another_key_is_refused_at_the_start_by_name(tmp_path: Path) -> None:
    settings = keyed(tmp_path, CONFIG + HISTORY)
    import_history(settings, history(tmp_path, "in-clear-card"))
    other = keyed(tmp_path, CONFIG + HISTORY, "5b" * 32)
    with pytest.raises(ConfigError, match="tokens were taken in under the entity key"):
        AttackDesk.open(other)
    with pytest.raises(AssertionError, match="ended with status 1"), serving(tmp_path):
        pass
