"""Tables for people and for grep: ids are whole, rows too where nobody reads a screen; nothing is "none"."""

import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.table import Table

from fraud.cli.shell import Output, Shell, table

ID = "tx-" + "0123456789" * 9
REASON = "a word " * 30


class Screen(StringIO):
    """A terminal in place of stdout."""

    def isatty(self) -> bool:
        return True


def shell() -> Shell:
    return Shell(Path("none.toml"), Output.TABLE)


@pytest.fixture(params=["xterm", "dumb"], autouse=True)
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", request.param)
    monkeypatch.setenv("COLUMNS", "80")


def on_screen(monkeypatch: pytest.MonkeyPatch, *tables: Table) -> list[str]:
    """The lines that tables take on a terminal of 80 columns."""
    screen = Screen()
    with monkeypatch.context() as there:
        there.setattr(sys, "stdout", screen)
        shell().show({}, *tables)
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()


def test_ids_are_never_folded_though_the_terminal_be_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = on_screen(monkeypatch, table("Decisions", ["transaction", "reasons"], [(ID, REASON)]))
    assert any(ID in line for line in lines)
    assert sum("word" in line for line in lines) > 1


def test_other_tables_keep_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = table("Decisions", ["transaction", "reasons"], [(ID, REASON)])
    facts = table("Facts", ["what", "why"], [(ID, REASON)])
    versions = table("Versions", ["version", "why"], [("card-1", REASON)])
    lines = on_screen(monkeypatch, wide, facts, versions)
    behind = lines[next(at for at, line in enumerate(lines) if line.startswith("Facts")) :]
    assert 70 < max(map(len, behind)) <= 80


def test_where_stdout_is_no_terminal_rows_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    shell().show({}, table("Facts", ["what", "why", "who"], [(ID, REASON, "ann")]))
    assert any(
        ID in line and REASON.strip() in line and "ann" in line
        for line in capsys.readouterr().out.splitlines()
    )


def test_an_empty_table_says_none(capsys: pytest.CaptureFixture[str]) -> None:
    shell().show({}, table("Label batches", ["batch", "part"], []))
    assert capsys.readouterr().out == "Label batches: none\n"
