"""`fraud doctor` says what is so and what to do."""

import json
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.clock import DAY_US, WallClock
from fraud.registry import LedgerStore
from fraud.serving.identity_desk import IdentityDesk
from tests.retrainer.patterns import World
from tests.serving.authority import Authority


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "fraud.toml"
    run(["init", "--config", str(path)])
    for key in ("SERVER__PORT", "MONITORING__SCORER_PORT", "MONITORING__RETRAINER_PORT"):
        monkeypatch.setenv(f"FRAUD__{key}", "0")
    return path


def doctor(config: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    capsys.readouterr()
    status = run(["doctor", "--config", str(config), "--output", "json"])
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(capsys.readouterr().out)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return status, found


def test_a_fresh_deployment_is_well(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = doctor(config, capsys)
    assert status == 0
    assert {"configuration", "disk", "data folder", "port", "ledger", "log"} <= found.keys()
    assert all(each["state"] != "fail" for findings in found.values() for each in findings)
    assert not (config.parent / "data").exists(), "the doctor changes nothing"


def test_a_wrong_configuration_fails_and_names_the_key(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text().replace("data_dir =", "data_dirr ="))
    status, found = doctor(config, capsys)
    assert status == 1
    assert "did you mean 'data_dir'" in found["configuration"][0]["text"]


def test_a_pattern_that_matches_no_feature_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace('"card_*", "merchant_*"', '"kard_*"'))
    status, found = doctor(config, capsys)
    assert status == 1
    assert "kard_*" in found["configuration"][0]["text"]


def test_a_port_taken_by_another_program_fails(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("FRAUD__SERVER__PORT", str(taken.getsockname()[1]))
        status, found = doctor(config, capsys)
    assert status == 1
    assert found["port"][0]["state"] == "fail"
    assert "choose another port" in found["port"][0]["remedy"]


def test_an_address_of_another_machine_fails(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD__SERVER__HOST", "192.0.2.1")
    monkeypatch.setenv("FRAUD__SERVER__INSECURE", "true")
    monkeypatch.setenv("FRAUD__SERVER__PORT", "50051")
    status, found = doctor(config, capsys)
    assert status == 1
    assert "192.0.2.1:50051" in found["port"][0]["text"]
    assert found["access"][0]["state"] == "warn"
    assert "192.0.2.1 is reached from other machines" in found["access"][0]["text"]


def test_identities_and_certificates_are_looked_through(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = config.parent
    issued = Authority().issue("fraud", days=13)
    (folder / "own.pem").write_bytes(issued.certificate)
    (folder / "own.key").write_bytes(issued.key)
    (folder / "own.key").chmod(0o644)
    desk = IdentityDesk(folder / "identities.json", made_by="a test")
    now_us = WallClock().now_us()
    desk.add("jane", ["operator"], now_us=now_us, expires_us=now_us + 13 * DAY_US)
    desk.add("shop", ["scorer"], now_us=now_us, expires_us=now_us + 13 * DAY_US)
    desk.add("shop", ["scorer"], now_us=now_us, expires_us=now_us + 30 * DAY_US)
    for key, value in (("TLS__CERTIFICATE", "own.pem"), ("TLS__KEY", "own.key"),
                       ("IDENTITIES__FILE", "identities.json"), ("HOST", "0.0.0.0"),
                       ("TWO_PERSON__METHODS", '["Promote"]')):  # fmt: skip
        monkeypatch.setenv(f"FRAUD__SERVER__{key}", value)
    status, found = doctor(config, capsys)
    assert status == 0
    assert [each["text"] for each in found["access"] if each["state"] == "ok"] == [
        "TLS and identities are on",
        f"{folder / 'own.pem'} and its key fit",
        "3 of 3 credentials are valid",
    ]
    warned = [each["text"] for each in found["access"] if each["state"] == "warn"]
    assert len(warned) == 5
    assert f"{folder / 'own.pem'} ends at" in warned.pop(0)
    assert "does not know whom to trust" in warned.pop(0)
    assert "own.key is open to other users (mode 0644)" in warned[0]
    assert "1 operators have a valid credential, and 2 are needed" in warned[1]
    assert "of jane ends at" in warned[2]
    (folder / "own.key").write_bytes(Authority().issue("other").key)
    status, found = doctor(config, capsys)
    assert status == 1
    assert "do not fit" in next(each["text"] for each in found["access"] if each["state"] == "fail")


def test_a_data_folder_open_to_others_is_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.parent / "data"
    folder.mkdir()
    folder.chmod(0o755)
    status, found = doctor(config, capsys)
    assert status == 0
    assert found["data folder"][0]["state"] == "warn"
    assert f"chmod 700 {folder}" in found["data folder"][0]["remedy"]


def test_a_ledger_that_is_no_ledger_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.parent / "data"
    folder.mkdir(mode=0o700)
    (folder / "registry.sqlite").write_bytes(b"no database" * 1000)
    status, found = doctor(config, capsys)
    assert status == 1
    assert found["ledger"][0]["state"] == "fail"


def test_a_locked_data_folder_names_its_owner(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fraud.eventlog.lock import lock_data_folder

    with lock_data_folder(config.parent / "data"):
        _, found = doctor(config, capsys)
    assert "is the scorer of this folder already" in found["data folder"][-1]["text"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE ledger SET reason = 'x' WHERE seq = 2", "entry 2 is damaged: its content does not match"),
        ("UPDATE ledger SET previous_hash = hash WHERE seq = 3", "entry 3 is damaged: it does not follow"),
        ("DELETE FROM ledger WHERE seq = 2", "entry 2 is damaged: it is missing"),
    ],
)
def test_a_broken_chain_names_the_entry_and_the_scorer_does_not_start(
    config: Path, capsys: pytest.CaptureFixture[str], damage: str, says: str
) -> None:
    path = config.parent / "data" / "registry.sqlite"
    path.parent.mkdir(mode=0o700)
    store = LedgerStore.open(path)
    for time_us in (1, 2, 3):
        body = {"model": "", "cut_position": 1, "cut_time_us": time_us, "trigger": "by hand"}
        store.append("RetrainRequested", body, actor="ann", reason="test", time_us=time_us)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()
    status, found = doctor(config, capsys)
    assert status == 1
    assert found["ledger"][0]["state"] == "fail"
    assert says in found["ledger"][0]["text"]
    serve = [sys.executable, "-m", "fraud.cli", "serve", "--config", str(config)]
    told = subprocess.run(serve, stderr=subprocess.PIPE, text=True, timeout=180, check=False)
    assert told.returncode == 1
    assert says in told.stderr
    assert "restore the ledger from a copy" in told.stderr


def test_keys_and_readers_of_metrics_are_looked_at(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in (("entity.key", "ab" * 32), ("metrics.token", "let-me-in")):
        (config.parent / name).write_text(content)
        (config.parent / name).chmod(0o604)
    monkeypatch.setenv("FRAUD__MONITORING__TOKEN_FILE", "metrics.token")
    status, found = doctor(config, capsys)
    assert status == 0
    assert any("metrics.token is open to other users" in it["text"] for it in found["access"])
    monkeypatch.setenv("FRAUD__SERVICE__ENTITY_KEY_FILE", "entity.key")
    status, found = doctor(config, capsys)
    assert status == 1
    assert any("entity.key is open to others" in it["text"] for it in found["access"])
    (config.parent / "entity.key").chmod(0o600)
    status, found = doctor(config, capsys)
    assert status == 0
    assert any("under the entity key" in it["text"] for it in found["access"])


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of three weeks whose frauds become known on the fourth day after them."""
    folder = tmp_path_factory.mktemp("labelled")
    world = World(folder)
    world.pass_days(21)
    world.archive.copy_from(world.log)
    world.close()
    return world.config


@pytest.mark.parametrize(
    ("key", "silence", "state"),
    [
        ("TRAINING__FRESH__SILENCE", "4d", "ok"),
        ("TRAINING__FRESH__SILENCE", "3d", "warn"),
        ("LABELS__MATURITY", "3d", "warn"),
    ],
)
def test_labels_that_come_later_than_their_silence_teaches_are_a_warning(
    labelled: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    silence: str,
    state: str,
) -> None:
    monkeypatch.setenv("FRAUD__SERVER__PORT", "0")
    monkeypatch.setenv("FRAUD__TRAINING__FRESH__APART", "0.3")
    monkeypatch.setenv(f"FRAUD__{key}", silence)
    status, found = doctor(labelled, capsys)
    assert status == 0, found
    card, transfer = found["label delay"]
    assert (card["state"], transfer["state"]) == (state, "ok")
    assert f"became known later than {silence} after the payment" in card["text"]
    assert (": 0 of the newest " in card["text"]) == (state == "ok")
    assert (key.lower().replace("__", ".") in card["remedy"]) == (state == "warn")
    assert "0 matured frauds say too little" in transfer["text"]


def test_who_waits_for_the_maturity_is_told_nothing_of_silence(
    labelled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD__SERVER__PORT", "0")
    assert "label delay" not in doctor(labelled, capsys)[1]


def test_who_has_no_champion_is_told_to_ask_the_retrainer(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config.parent / "data" / "registry.sqlite"
    path.parent.mkdir(mode=0o700)
    LedgerStore.open(path).close()
    status, found = doctor(config, capsys)
    assert status == 0
    (finding,) = found["model card"]
    assert "no champion yet" in finding["text"]
    # A cycle of one's own is refused where a retrainer runs.
    assert finding["remedy"].startswith("fraud retrain, when labels are in")
