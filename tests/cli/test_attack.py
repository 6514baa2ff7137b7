"""`fraud attack` on a real data folder, and what the gate makes of it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.eventlog.log import NewToken
from fraud.gate.verdict import judge
from tests.retrainer.patterns import DAYS, START_US, World, with_champion


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with_champion(folder)
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    opened = World(tmp_path)
    yield opened
    opened.close()


def attack(
    world: World, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    status = run(["--config", str(world.config), "--output", "json", "attack", *arguments])
    told = capsys.readouterr()
    return status, json.loads(told.out) if told.out else {}, told.err


def confirm(
    world: World, capsys: pytest.CaptureFixture[str], *where: str, model: str = "card", reason: str = "audit"
) -> tuple[int, dict[str, Any], str]:
    pairs = [text for pair in where for text in ("--where", pair)]
    given = ("--model", model, "--since", str(START_US), "--reason", reason, "--actor", "jane")
    return attack(world, capsys, "confirm", *given, *pairs)


def test_an_attack_is_confirmed_listed_judged_and_ended(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.log.append([], world.log.last_arrival_us(), [NewToken(1, 17, "m_17")])
    status, document, _ = confirm(world, capsys, "merchant=m_17", "channel=web")
    assert status == 0
    (found,) = document["attacks"]
    assert (found["entities"], found["words"], found["actor"]) == (
        {"merchant": 17},
        {"channel": "web"},
        "jane",
    )
    assert attack(world, capsys, "list")[1] == document
    world.pass_days(DAYS)
    row = judge(world.case(world.train()), world.settings.gate).check(f"attack_{found['attack']}")
    assert row.passed is not None
    assert "cards hit" in row.reason
    assert attack(world, capsys, "end", str(found["attack"]), "--reason", "over")[1]["ended"]
    assert attack(world, capsys, "list")[1] == {"attacks": []}
    assert attack(world, capsys, "end", str(found["attack"]), "--reason", "over")[0] == 1


@pytest.mark.parametrize(
    ("where", "status", "told"),
    [
        ("merchant=m_99", 1, "merchant: no payment ever had this token"),
        ("shop=1", 2, "knows no shop, give NAME=VALUE once for any of card, merchant, channel"),
        ("merchant", 2, "write it like merchant=m_17"),
    ],
)
def test_what_tells_no_payments_apart_is_refused(
    world: World, capsys: pytest.CaptureFixture[str], where: str, status: int, told: str
) -> None:
    given, document, error = confirm(world, capsys, where)
    assert (given, document) == (status, {})
    assert told in error.replace(";", ",")


def test_a_reason_may_name_a_word_but_no_token(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.log.append([], world.log.last_arrival_us(), [NewToken(1, 17, "m_17")])
    status, _, error = confirm(world, capsys, "merchant=m_17", reason="m_17 lends its terminal")
    assert (status, "reason: holds the token" in error) == (2, True)
    assert attack(world, capsys, "list")[1] == {"attacks": []}
    assert confirm(world, capsys, "channel=web", reason="all of web")[0] == 0


def test_an_unknown_model_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there are: card, transfer" in confirm(world, capsys, "channel=web", model="cheque")[2]


def test_people_read_a_table(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    confirm(world, capsys, "channel=web")
    run(["--config", str(world.config), "attack", "list"])
    assert "channel=web" in capsys.readouterr().out
