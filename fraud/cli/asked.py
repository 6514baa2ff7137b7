"""`fraud asked`: what one operator has asked for and another may carry out."""

import json
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fraud.cli.looking_back import look_back
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time

if TYPE_CHECKING:
    from fraud.v1.access_pb2 import Asked

WAITS = 3
"""Exit status of a command that was asked for and has done nothing yet."""


def asked(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also what was carried out or has expired.")] = False,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """List what waits for a second person (server.two_person), newest first."""
    shell = shell_of(ctx)
    found = look_back(shell, target, lambda reader: [_document(it) for it in reader.list_asked(all_=all_)])
    columns = ["entry", "what", "of", "by", "why", "until", "carried out"]
    rows = [
        (
            it["ledger_seq"],
            it["method"],
            json.dumps(it["what"], ensure_ascii=False),
            it["actor"],
            it["reason"],
            it["until"],
            it["done_seq"] or None,
        )
        for it in found
    ]
    shell.show({"asked": found}, table("Asked for", columns, rows))


def wait_for_second(shell: Shell, what: str, seq: int, until_us: int) -> NoReturn:
    """Say that something waits for a second person, and end with status 3."""
    until = format_time(until_us)
    text = (
        f"{what} is asked for (ledger entry {seq}) and not done: another operator gives the same command "
        f"until {until}; 'fraud asked' shows what waits"
    )
    shell.show({"asked_seq": seq, "asked_until": until, "applied": False}, text)
    raise typer.Exit(WAITS)


def _document(it: "Asked") -> dict[str, Any]:
    return {
        "ledger_seq": it.ledger_seq,
        "time": format_time(it.time_us),
        "method": it.method,
        "what": json.loads(it.what_json),
        "actor": it.actor,
        "reason": it.reason,
        "until": format_time(it.until_us),
        "done_seq": it.done_seq,
    }
