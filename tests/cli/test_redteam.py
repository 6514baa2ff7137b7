"""`fraud redteam` on a data folder without a service."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fraud.bundle.store import BundleStore
from fraud.cli.main import run
from fraud.clock import DAY_US
from fraud.registry.store import LedgerStore
from fraud.report.folder import Folder
from fraud.report.redteam_page import RESERVATION, read_redteam
from tests.attacks.worlds import START_US, World, made
from tests.report.pages import Page, check_self_contained


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("attacked"))


def test_a_page_is_written_that_needs_nothing_beside_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    arguments = ["--config", str(world.folder / "fraud.toml"), "--output", "json", "redteam"]
    assert run([*arguments, "--model", "card", "--budget", "5", "--out", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    text = path.read_text()
    page = Page(text)
    check_self_contained(text, page)
    assert set(page.plots) == {"evasion", "recoverable", "tries", "profit"}
    assert all(plot.paths > 3 for plot in page.plots.values())
    for shown, named in (("data-white", "white_box"), ("data-black", "black_box"), ("data-best", "best")):
        points = [(float(row["data-cost"]), float(row[shown])) for row in page.rows("data-cost")]
        assert points == [(point["cost"], point[named]) for point in document["curve"]]
    assert (document["version"], document["frauds"], document["learned"]) == ("card-1", 20, True)
    for point in document["curve"]:
        parts = point["recoverable"] + point["unrecoverable"]
        assert parts == pytest.approx(point["best"])
        assert point["best"] >= max(point["white_box"], point["black_box"])
    profit = document["profit"]
    assert profit["best"] >= max(profit["white_box"], profit["black_box"])


@pytest.fixture(scope="module")
def early(world: World) -> str:
    """A version of the same trees as if nothing from the twentieth day on had been learned."""
    from_us = START_US + 20 * DAY_US
    manifest: dict[str, Any] = {
        **world.bundle.manifest,
        "spans": {**world.bundle.manifest["spans"], "evidence_us": [from_us, from_us]},
        "fitted": {"until_us": from_us, "others_until_us": from_us},
    }
    places = world.settings.places
    body = {
        "version": "card-2",
        "model": "card",
        "recipe": "full",
        "digest": BundleStore(places.bundles).write(replace(world.bundle, manifest=manifest)),
        "parent": "",
        "attempt": 2,
        "challengers": 1,
        "cut_position": manifest["cut"]["position"],
        "cut_time_us": manifest["cut"]["time_us"],
        "manifest": manifest,
    }
    ledger = LedgerStore.open(places.ledger)
    ledger.append("VersionRegistered", body, actor="test", reason="", time_us=0)
    ledger.close()
    return "card-2"


@pytest.mark.parametrize("learned", [False, True])
def test_frauds_that_the_version_learned_from_attack_only_where_others_are_too_few(
    world: World, early: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], learned: bool
) -> None:
    path, version = tmp_path / "page.html", "card-1" if learned else early
    asked = ["redteam", "--version", version, "--budget", "1", "--out", str(path)]
    assert run(["--config", str(world.folder / "fraud.toml"), *asked]) == 0
    assert (RESERVATION in capsys.readouterr().out) == learned
    page = path.read_text()
    assert bool(Page(page).rows("data-learned")) == learned
    assert ("none of which the version learned from" in page) != learned
    made = read_redteam(Folder.open(world.settings), "card", version, world.settings)
    assert (len(made.results), made.learned) == (20, learned)
    times = [each.fraud.payment.event_time_us for each in made.results]
    assert (min(times) < START_US + 20 * DAY_US) == learned


def test_a_curve_begins_with_what_costs_nothing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    firsts, path = [], tmp_path / "page.html"
    for price in ("0.05", "0"):
        monkeypatch.setenv("FRAUD__ATTACKS__CATEGORICAL__CHANNEL__SHARE", price)
        monkeypatch.setenv("FRAUD__ATTACKS__ENTITIES__MERCHANT__SHARE", price)
        arguments = ["--config", str(world.folder / "fraud.toml"), "--output", "json", "redteam"]
        assert run([*arguments, "--budget", "2", "--out", str(path)]) == 0
        curve = json.loads(capsys.readouterr().out)["curve"]
        assert [point["cost"] for point in curve] == [0.0, *world.settings.attacks.costs]
        drawn = Page(path.read_text()).plots["evasion"].curves["evasion-knows-the-trees"]
        assert drawn.count("L") == len(curve) - 1, "a point drawn for each that is told, and no other"
        firsts.append(curve[0]["white_box"])
    assert firsts[0] == 0 < firsts[1]


def test_a_budget_of_one_try_finds_no_more_than_one_of_many(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = []
    for budget in ("1", "30"):
        arguments = ["--config", str(world.folder / "fraud.toml"), "--output", "json", "redteam"]
        assert run([*arguments, "--version", "card-1", "--budget", budget, "--out", str(tmp_path / "p")]) == 0
        shares.append(json.loads(capsys.readouterr().out)["curve"][-1]["black_box"])
    assert shares[0] < shares[1]


def test_frauds_are_attacked_that_are_younger_than_the_maturity_of_labels(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD__LABELS__MATURITY", "21d")
    monkeypatch.setenv("FRAUD__ATTACKS__RECENT", "14d")
    arguments = ["--config", str(world.folder / "fraud.toml"), "--output", "json", "redteam"]
    assert run([*arguments, "--budget", "2", "--out", str(tmp_path / "page.html")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["frauds"] == 20


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--model", "transfer"), 2, "'transfer' is not in the configuration"),
        (("--version", "card-9"), 1, "'card-9' is not in the ledger"),
        (("--model", "transfer", "--version", "card-1"), 2, "is of model 'card'"),
        (("--out", "/nowhere/page.html"), 2, "--out: there is no folder /nowhere; make it"),
        (("--out", "/"), 2, "--out: / is a folder; name a file in it"),
    ],
)
def test_a_wrong_command_says_what_to_do(
    world: World, arguments: tuple[str, ...], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--config", str(world.folder / "fraud.toml"), "redteam", *arguments]) == status
    assert says in capsys.readouterr().err


def test_no_recent_fraud_is_told_with_the_span(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD__ATTACKS__RECENT", "1h")
    assert run(["--config", str(world.folder / "fraud.toml"), "redteam"]) == 1
    assert "no fraud of the last 1h is known; wait for labels" in capsys.readouterr().err
