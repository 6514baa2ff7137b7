"""`fraud explore`: what is let through, and the switch in the ledger."""

import json
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.registry.store import LedgerStore
from fraud.settings import load_settings

CONFIG = """
[schema.entities.card]
[models.card.policy.exploration]
rate = 0.05
key = "a key of enough letters"
budget_minor = 5000
[models.transfer]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "fraud.toml"
    path.write_text(CONFIG, encoding="utf-8")
    LedgerStore.open(load_settings(path, {}).places.ledger).close()
    return path


def explore(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    capsys.readouterr()
    status = run(["--config", str(config), "--output", "json", "explore", *arguments])
    told = capsys.readouterr()
    return status, json.loads(told.out)["exploration"] if told.out else None, told.err


def switch(config: Path, capsys: pytest.CaptureFixture[str], flag: str, model: str = "card") -> Any:
    given = (flag, "--model", model, "--reason", "a run on gift cards", "--actor", "jane")
    status, (document,), _ = explore(config, capsys, *given)
    assert status == 0
    return document


def test_it_shows_what_each_model_lets_through(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (card, transfer), _ = explore(config, capsys)
    assert status == 0
    assert (card["explores"], card["rates"], card["budget"]) == (True, [0.05], 5000)
    assert (transfer["explores"], transfer["configured"], transfer["on"]) == (False, False, True)


def test_a_folder_without_a_service_is_told_and_not_begun(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = load_settings(config, {}).places.ledger
    ledger.unlink()
    status, _, error = explore(config, capsys, "--off", "--model", "card", "--reason", "a run")
    assert (status, "start the service once, or name the folder" in error) == (1, True)
    assert not ledger.exists()


def test_a_switch_is_on_the_record_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    off = switch(config, capsys, "--off")
    assert (off["explores"], off["by"], off["reason"]) == (False, "jane", "a run on gift cards")
    switch(config, capsys, "--off")
    assert switch(config, capsys, "--on")["explores"]
    ledger = LedgerStore.open(load_settings(config, {}).places.ledger)
    entries = [(entry.kind, entry.body["on"], entry.actor) for entry in ledger.read()]
    ledger.close()
    assert entries == [("ExplorationSwitched", False, "jane"), ("ExplorationSwitched", True, "jane")]


def test_a_switch_turns_nothing_on_that_the_configuration_does_not(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    switch(config, capsys, "--off", "transfer")
    document = switch(config, capsys, "--on", "transfer")
    assert (document["on"], document["explores"]) == (True, False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--off", "--reason", "x"], "--model: is not given"),
        (["--off", "--model", "card"], "--reason: is not given"),
        (["--off", "--model", "loan", "--reason", "x"], "no model 'loan'; the configuration has card"),
    ],
)
def test_what_is_missing_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    status, _, error = explore(config, capsys, *arguments)
    assert status != 0
    assert told in " ".join(error.split())
