"""Who looks back needs no scorer: the data folder answers as the scorer did, and stderr says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.eventlog import lock_data_folder
from fraud.settings import load_settings
from tests.serving.registered import polluted
from tests.serving.worlds import settings_in

pytestmark = pytest.mark.process
LOOKS: tuple[tuple[str, ...], ...] = (
    ("champion",),
    ("champion", "--model", "card", "--at", "2026-01-01"),
    ("versions",),
    ("versions", "--model", "card", "--limit", "1"),
    ("show", "card-2"),
    ("history",),
    ("lineage", "--batch", "bad"),
    ("lineage", "--version", "card-2"),
)
OUTPUT = ("--output", "json")
Fraud = Callable[..., tuple[int, Any, str]]


def of_a_moment(document: Any) -> Any:
    """What a scorer alone knows is left out: who is in shadow."""
    if isinstance(document, dict):
        return {name: of_a_moment(value) for name, value in document.items() if name != "shadow"}
    return [of_a_moment(each) for each in document] if isinstance(document, list) else document


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, ...], Any]]:
    """A folder whose scorer has stopped, and what that answered before."""
    folder = tmp_path_factory.mktemp("service")
    settings_in(folder)
    answers: dict[tuple[str, ...], Any] = {}
    with pytest.MonkeyPatch.context() as patch, polluted(folder) as world:
        said: list[str] = []
        patch.setattr("fraud.cli.shell.typer.echo", lambda text, **_: said.append(text))
        for look in LOOKS:
            assert (
                run(
                    ["--config", str(folder / "fraud.toml"), *OUTPUT, *look, "--target", world.process.target]
                )
                == 0
            )
            answers[look] = json.loads(said.pop())
        assert world.process.stop() == 0
    return folder, answers


@pytest.fixture
def fraud(told: tuple[Path, Any], capsys: pytest.CaptureFixture[str]) -> Fraud:
    def command(*arguments: str, output: tuple[str, ...] = OUTPUT) -> tuple[int, Any, str]:
        capsys.readouterr()
        status = run(["--config", str(told[0] / "fraud.toml"), *output, *arguments])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out and output else said.out, said.err

    return command


def files_in(folder: Path) -> dict[Path, bytes]:
    """What is kept; SQLite's readers share an index beside their file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in paths if not path.name.endswith(("-shm", "-wal"))}


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_the_folder_at_rest_answers_as_its_scorer_did(
    look: tuple[str, ...], fraud: Fraud, told: tuple[Path, dict[tuple[str, ...], Any]]
) -> None:
    folder, answers = told
    before = files_in(folder)
    status, document, said = fraud(*look)
    assert (status, of_a_moment(document)) == (0, of_a_moment(answers[look]))
    assert json.loads(said)["note"] == f"no scorer runs: read from {folder / 'data'}, as it was left"
    assert files_in(folder) == before


def test_people_are_told_too_and_see_the_same_table(fraud: Fraud) -> None:
    status, text, said = fraud("champion", output=())
    assert (status, said.count("no scorer runs")) == (0, 1)
    assert "card-2" in text


def test_what_is_not_there_is_the_same_error(fraud: Fraud) -> None:
    status, _, said = fraud("show", "card-9")
    assert (status, json.loads(said)["error"]) == (1, "NOT_FOUND")
    status, _, said = fraud("versions", "--model", "crad")
    assert (status, json.loads(said)["field"]) == (2, "model")


def test_a_scorer_that_starts_or_another_server_that_is_named_is_waited_for(
    fraud: Fraud, told: tuple[Path, Any]
) -> None:
    assert json.loads(fraud("versions", "--target", "127.0.0.1:1")[2])["error"] == "UNAVAILABLE"
    with lock_data_folder(load_settings(told[0] / "fraud.toml", {}).data_dir):
        status, _, said = fraud("versions")
    assert (status, json.loads(said)["error"]) == (1, "UNAVAILABLE")
