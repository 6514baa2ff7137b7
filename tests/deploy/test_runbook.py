"""The runbook: a section for each alert, and every command in it is one that the command line takes."""

import re
import shlex
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import typer

from fraud.cli.main import app, run
from tests.deploy.known import DEPLOY, UPKEEP_FAILED, alerts

TEXT = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))
_FRAUD = re.compile(
    r"^(?:fraud|sudo(?: env \S+)? fraudctl"
    r"|[^`\n]*docker compose (?:exec|run) (?:-\S+ |--volume \S+ )*scorer(?: fraud)?) "
    r"([a-z].*?)(?: &&| [|][|] .*)?$",
    re.MULTILINE,
)
"""A line that runs a command of ours: here, beside the units, in a container or in one of its own."""
COMMANDS = sorted({f"fraud {it}" for it in _FRAUD.findall(TEXT)})
FILES = ("labels.csv", "payment.json", "rules.toml")


def commands(of: typer.Typer) -> Iterator[Any]:
    """Every registered command, those of groups too."""
    yield from of.registered_commands
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance)


def silent(callback: Callable[..., None]) -> Callable[..., None]:
    """A command with the same parameters that does nothing."""

    @wraps(callback)
    def nothing(*args: object, **kwargs: object) -> None:
        del args, kwargs

    return nothing


@pytest.fixture
def parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Parse a command line to its end, without doing what it says; returns the exit status."""
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        (tmp_path / name).touch()
    for info in commands(app):
        monkeypatch.setattr(info, "callback", silent(info.callback))
    return lambda line: run(shlex.split(line)[1:])


def severities() -> dict[str, str]:
    """How soon somebody looks, for each alert; what a unit sends is for today."""
    return {name: rule["labels"]["severity"] for name, rule in alerts().items()} | {UPKEEP_FAILED: "ticket"}


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    assert set(SECTIONS) == set(severities())


@pytest.mark.parametrize("alert", sorted(SECTIONS))
def test_a_section_names_the_severity_and_something_to_do(alert: str) -> None:
    section = SECTIONS[alert]
    assert section.strip().startswith(f"*{severities()[alert]}.*")
    assert _FRAUD.search(section) or "Commands as above" in section


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists(line: str, parse: Callable[[str], int]) -> None:
    assert parse(line) == 0


@pytest.mark.parametrize(
    "line", ["fraud retrian", "fraud rollback --back", "fraud promote", "fraud label pull x"]
)
def test_a_command_that_does_not_exist_is_seen(line: str, parse: Callable[[str], int]) -> None:
    assert parse(line) == 2
