"""The shell of the command line: help, global options, exit statuses, `init`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from fraud.cli.main import app, options_first, run
from fraud.settings import load_settings

COMMANDS = (
    "init", "up", "serve", "retrain", "import", "score", "label", "sentinel", "champion", "versions",
    "show", "explore", "replay", "demo", "doctor",
)  # fmt: skip
HEAVY = ("numpy", "polars", "grpc", "pydantic", "ray", "xgboost", "numba", "deltalake", "scipy", "sklearn")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command} " in told


@pytest.mark.parametrize(
    "command", [*COMMANDS, "label push", "label batches", "sentinel add", "sentinel list", "sentinel retire"]
)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--help"]) == 0
    assert f"fraud {command}" in capsys.readouterr().out


def test_help_has_no_brackets_that_would_be_taken_for_markup() -> None:
    waiting, told = [typer.main.get_command(app)], list[str]()
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        told += [command.help or "", *(getattr(each, "help", "") or "" for each in command.params)]
    assert len(told) > 100
    assert [text for text in told if "[" in text] == []


def test_help_loads_no_heavy_library() -> None:
    code = f"import sys, fraud.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_global_options_may_stand_anywhere() -> None:
    moved = options_first(["label", "push", "a.csv", "--output=json", "--config", "b.toml", "--batch", "1"])
    assert moved == ["--output=json", "--config", "b.toml", "label", "push", "a.csv", "--batch", "1"]


def test_what_stands_behind_two_dashes_is_no_option() -> None:
    assert options_first(["score", "--", "--output"]) == ["score", "--", "--output"]


def test_init_writes_a_configuration_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "fraud.toml"
    assert run(["init", "--config", str(path)]) == 0
    assert list(load_settings(path, {}).models) == ["card", "transfer"]


def test_init_writes_the_handbook_example(tmp_path: Path) -> None:
    path = tmp_path / "fraud.toml"
    assert run(["init", "--example", "handbook", "--config", str(path)]) == 0
    assert load_settings(path, {}).import_ is not None


def test_init_overwrites_only_when_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fraud.toml"
    path.write_text("mine")
    assert run(["init", "--config", str(path)]) == 1
    assert path.read_text() == "mine"
    assert "--force overwrites it" in capsys.readouterr().err
    assert run(["init", "--force", "--config", str(path)]) == 0
    assert path.read_text() != "mine"


def test_json_output_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fraud.toml"
    assert run(["init", "--config", str(path), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": str(path), "example": "cards"}


def test_a_missing_configuration_is_told_in_one_line_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["champion", "--config", str(tmp_path / "none.toml")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "'fraud init' writes one" in told.err


def test_a_wrong_option_has_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["versions", "--limmit", "1"]) == 2
    assert "--limmit" in capsys.readouterr().err


def test_a_wrong_moment_is_named_with_the_right_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fraud.toml"
    run(["init", "--config", str(path)])
    assert run(["champion", "--at", "yesterday", "--config", str(path)]) == 2
    assert "--at: 'yesterday' is not a time; write it like 2026-03-01T12:00:00Z" in capsys.readouterr().err


def test_a_server_that_does_not_answer_has_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fraud.toml"
    run(["init", "--config", str(path)])
    assert run(["champion", "--target", "127.0.0.1:1", "--config", str(path)]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_an_unknown_model_is_named_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fraud.toml"
    run(["init", "--config", str(path)])
    assert run(["retrain", "--once", "--model", "cards", "--config", str(path)]) == 1
    assert "no model cards; the configuration has card, transfer" in capsys.readouterr().err


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str]]:
    """Run a command for machines; return its status and what stderr holds, one object of one line."""
    capsys.readouterr()
    status = run([*arguments, "--output", "json"])
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return status, json.loads(told)


def test_every_error_is_one_object_for_machines_with_the_same_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fraud.toml"
    config = ("--config", str(path))
    status, told = complaint(capsys, "champion", *config)
    assert (status, told["error"]) == (2, "CONFIG")
    run(["init", *config])
    status, told = complaint(capsys, "champion", "--at", "yesterday", *config)
    assert (status, told["error"], told["field"]) == (2, "INVALID_INPUT", "--at")
    assert told["remedy"] == "write it like 2026-03-01T12:00:00Z"
    assert "'yesterday' is not a time" in told["message"]
    status, told = complaint(capsys, "champion", "--target", "127.0.0.1:1", *config)
    assert (status, told["error"]) == (1, "UNAVAILABLE")
    assert "fraud up" in told["remedy"]
    status, told = complaint(capsys, "retrain", "--once", "--model", "cards", *config)
    assert (status, told["error"]) == (1, "NOT_FOUND")
    status, told = complaint(capsys, "versions", "--config", str(tmp_path))
    assert (status, told["error"]) == (2, "CONFIG")


def test_a_wrong_key_is_the_field_of_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fraud.toml"
    path.write_text("[schema.entities.card]\n[models.card]\n[server]\nportt = 1\n")
    assert complaint(capsys, "champion", "--config", str(path))[1]["field"] == "server.portt"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["versions", "--limmit", "1"], "--limmit"),
        (["versions", "--limit", "many"], "--limit"),
        (["versions", "--limit", "0"], "--limit"),
        (["import", "/no/such/file"], "file"),
        (["show"], "version"),
        (["shwo"], ""),
        (["label"], ""),
        ([], ""),
    ],
)
def test_a_wrong_command_line_is_told_to_machines_as_an_object(
    arguments: list[str], field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = complaint(capsys, *arguments)
    assert (status, told["error"], told.get("field", "")) == (2, "USAGE", field)
    assert told["remedy"].startswith("see 'fraud")
    assert run(arguments) == 2


def test_what_the_system_refuses_and_what_nobody_foresaw_are_objects_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fraud.toml"

    def broken(error: Exception) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("fraud.cli.shell.Shell.client", refuse)

    run(["init", "--config", str(path)])
    broken(PermissionError(13, "Permission denied", "/tmp/x"))
    status, told = complaint(capsys, "champion", "--config", str(path))
    assert (status, told["error"], told["field"]) == (1, "SYSTEM", "/tmp/x")
    broken(KeyError("x"))
    status, told = complaint(capsys, "champion", "--config", str(path))
    assert (status, told["error"], told["message"]) == (1, "INTERNAL", "KeyError: 'x'")
    assert "test_main.py" in told["traceback"]
    with pytest.raises(KeyError):
        run(["champion", "--config", str(path)])


def test_a_file_that_cannot_be_written_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--config", str(tmp_path / "none" / "fraud.toml")]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "No such file or directory" in told
    assert "check the path, the disk and who may use them" in told
