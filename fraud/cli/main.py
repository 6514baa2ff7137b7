"""Puts the commands together and turns errors into exit statuses.

    arguments → global options in front → command → exit status

Status 0: done. 1: it failed, or a check did. 2: the command line, the
configuration or the input is wrong. 3: it waits for a second person. `--config` and `--output` may stand
anywhere. Heavy libraries are imported inside the commands that need them, so
that help answers at once.
"""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import fraud
from fraud.cli import (
    archive,
    asked,
    attack,
    backup,
    champion,
    decisions,
    demo,
    doctor,
    erase,
    exclude,
    explore,
    guard,
    history,
    import_,
    init,
    label,
    lineage,
    listing,
    migrate,
    promote,
    redteam,
    replay,
    report,
    retrain,
    rollback,
    rules,
    score,
    sentinel,
    serve,
    status,
    token,
    up,
    versions,
)
from fraud.cli.complaints import document_of, line_of, status_of
from fraud.cli.shell import Output, Shell, printable
from fraud.errors import FraudError

_GLOBAL = ("--config", "--output")
_LOGS = "fraud.cli.logs"
"""Whose hook takes what nobody caught, once a process writes logs; until then Typer's does."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(fraud.__version__)
        raise typer.Exit


@app.callback(help="Fraud detection that retrains itself: score, label, retrain, gate, promote.")
def _globals(
    ctx: typer.Context,
    config: Annotated[Path, typer.Option(help="Configuration file.", envvar="FRAUD_CONFIG")] = Path(
        "fraud.toml"
    ),
    output: Annotated[Output, typer.Option(help="Tables for people or JSON for machines.")] = Output.TABLE,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    del version
    ctx.obj = Shell(config, output)


app.command("init")(init.init)
app.command("up")(up.up)
app.command("serve")(serve.serve)
app.command("retrain")(retrain.retrain)
app.command("guard")(guard.guard)
app.command("import")(import_.import_)
app.command("score")(score.score)
app.command("decisions")(decisions.decisions)
app.command("decision")(decisions.decision)
app.add_typer(label.app, name="label")
app.add_typer(sentinel.app, name="sentinel")
app.add_typer(attack.app, name="attack")
app.command("champion")(champion.champion)
app.command("versions")(versions.versions)
app.command("show")(versions.show)
app.command("report")(report.report)
app.command("redteam")(redteam.redteam)
app.command("history")(history.history)
app.command("lineage")(lineage.lineage)
app.command("promote")(promote.promote)
app.command("rollback")(rollback.rollback)
app.command("asked")(asked.asked)
app.command("exclude")(exclude.exclude)
app.command("explore")(explore.explore)
app.add_typer(rules.app, name="rules")
app.add_typer(listing.app, name="list")
app.add_typer(token.app, name="token")
app.add_typer(archive.app, name="archive")
app.command("erase")(erase.erase)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("migrate")(migrate.migrate)
app.command("replay")(replay.replay)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)


def options_first(arguments: Sequence[str]) -> list[str]:
    """Move the global options to the front, so that they may stand anywhere.

    >>> options_first(["versions", "--output", "json"])
    ['--output', 'json', 'versions']
    """
    front: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            return [*front, *rest, argument, *waiting]
        if argument in _GLOBAL and waiting:
            front += [argument, waiting.pop(0)]
        elif argument.startswith(tuple(f"{option}=" for option in _GLOBAL)):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def is_json_wanted(arguments: Sequence[str]) -> bool:
    """Tell whether the result, and so an error, is for machines; known before anything is parsed.

    >>> is_json_wanted(["versions", "--output", "json"]), is_json_wanted(["score", "--", "--output=json"])
    (True, False)
    """
    said = ""
    for argument, value in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument == "--":
            break
        if argument == "--output":
            said = value
        elif argument.startswith("--output="):
            said = argument.partition("=")[2]
    return said == Output.JSON


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; errors go to stderr, in one line or one object."""
    as_json = is_json_wanted(arguments)
    try:
        # What the parser refuses it prints by itself, unless it is to raise it.
        status = app(args=options_first(arguments), prog_name="fraud", standalone_mode=not as_json)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except Exception as error:
        ours = isinstance(error, FraudError | typer.TyperException | typer.Abort)
        if not ours and sys.excepthook.__module__ == _LOGS:
            raise  # a process that writes logs says there where it happened
        if as_json:
            typer.echo(json.dumps(document_of(error), ensure_ascii=False), err=True)
        elif isinstance(error, FraudError | OSError):
            typer.echo(printable(line_of(error)), err=True)
        else:
            raise
        return status_of(error)
    return status if isinstance(status, int) else 0


def main() -> None:
    """Run the command line of this process and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may not have every letter
    sys.exit(run(sys.argv[1:]))
