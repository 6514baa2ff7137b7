"""`fraud report` on a data folder without a service."""

import json
from pathlib import Path

import pytest

from fraud.cli.main import run
from tests.report.made import judged
from tests.report.pages import Page


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = judged(tmp_path_factory.mktemp("judged"))
    world.close()
    return world.config


def test_a_page_is_written_and_its_figures_are_told(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    status = run(["--config", str(config), "--output", "json", "report", "card-2", "--out", str(path)])
    document = json.loads(capsys.readouterr().out)
    assert (status, document["report"], document["verdict"], document["against"]) == (
        0,
        str(path),
        "PROMOTE",
        "card-1",
    )
    assert all(each["agrees"] for each in document["figures"])
    assert document["problems"] == []
    shown = {
        row["data-figure"]: float(row["data-value"]) for row in Page(path.read_text()).rows("data-figure")
    }
    assert shown == {each["figure"]: each["ledger"] for each in document["figures"]}


def test_two_versions_are_compared_and_the_file_is_named_like_them(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", str(config), "--output", "json", "report", "--compare", "card-2", "card-1"]
    assert run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["report"] == "card-2-card-1.html"
    assert (tmp_path / "card-2-card-1.html").stat().st_size > 50_000
    value, low, high = document["figures"]["difference"]["average_precision"]
    assert low <= value <= high


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "must be given one or the other"),
        (("card-1", "--compare", "card-1", "card-2"), 2, "must be given one or the other"),
        (("card-9",), 1, "'card-9' is not in the ledger"),
        (("--compare", "card-1", "card-1"), 2, "name two versions of one model"),
    ],
)
def test_a_wrong_command_line_names_what_is_wrong(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, says: str
) -> None:
    assert run(["--config", str(config), "report", *arguments]) == status
    assert says in capsys.readouterr().err


def test_a_folder_without_a_registry_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "fraud.toml"
    assert run(["init", "--config", str(config)]) == 0
    assert run(["--config", str(config), "report", "card-1"]) == 1
    assert "no registry yet" in capsys.readouterr().err
