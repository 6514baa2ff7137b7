"""`fraud redteam` on a data folder without a service."""

import json
from pathlib import Path

import pytest

from fraud.cli.main import run
from tests.attacks.worlds import World, made
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
    assert (document["version"], document["frauds"]) == ("card-1", 20)
    for point in document["curve"]:
        parts = point["recoverable"] + point["unrecoverable"]
        assert parts == pytest.approx(point["best"])
        assert point["best"] >= max(point["white_box"], point["black_box"])
    profit = document["profit"]
    assert profit["best"] >= max(profit["white_box"], profit["black_box"])


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
