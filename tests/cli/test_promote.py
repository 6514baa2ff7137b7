"""`fraud promote` and what awaits it, against a real scorer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from tests.serving.registered import Polluted, polluted
from tests.serving.worlds import settings_in
from tests.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Polluted]:
    """A service where promotions take approval; card-3 awaits it."""
    settings_in(tmp_path)
    config = tmp_path / "fraud.toml"
    config.write_text(config.read_text().replace("[gate]\n", '[gate]\nmode = "approval"\n'))
    with polluted(tmp_path) as world:
        report = {"outcome": "PROMOTE", "way": "superiority", "reason": "because", "checks": []}
        body = {"version": "card-3", "model": "card", "verdict": "PROMOTE", "way": "superiority"}
        world.ledger.append("VerdictGiven", {**body, "against": "card-2", "report": report})
        wait_until(lambda: world.client.get_version("card-3").version.awaiting_approval)
        yield world


def test_what_waits_is_listed_promoted_and_told(
    world: Polluted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    config = str(world.ledger.settings.places.ledger.parents[1] / "fraud.toml")

    def fraud(*arguments: str, output: str = "json") -> tuple[int, Any, str]:
        capsys.readouterr()
        status = run(["--config", config, "--output", output, *arguments, "--target", world.process.target])
        told = capsys.readouterr()
        return status, json.loads(told.out) if told.out and output == "json" else told.out, told.err

    assert "awaiting approval" in fraud("versions", output="table")[1]
    assert "awaiting approval" in fraud("show", "card-3", output="table")[1]
    (third, *_) = fraud("versions")[1]["versions"]
    assert (third["version"], third["status"], third["awaiting_approval"]) == ("card-3", "challenger", True)

    assert fraud("promote", "card-3")[0] == 2, "a reason must be given"
    status, _, told = fraud("promote", "card-1", "--reason", "r")
    assert (status, "--override" in told) == (1, True)
    status, document, _ = fraud("promote", "card-3", "--reason", "agreed", "--actor", "ann")
    assert (status, document["applied"], document["from_version"]) == (0, True, "card-2")
    status, text, _ = fraud("promote", "card-2", "--reason", "after all", "--override", output="table")
    assert status == 0
    assert "Promotion of card" in text
    assert "card-2 is former champion" in text
    entries = fraud("history")[1]["entries"]
    assert [(it["version"], it["overridden"]) for it in entries[:2]] == [
        ("card-2", "card-2 is former champion"),
        ("card-3", ""),
    ]
    assert "Promoted by override" in fraud("history", output="table")[1]
