"""`fraud champion`: which version serves, or served at a past moment."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.looking_back import Reader, look_back
from fraud.cli.shell import shell_of, table
from fraud.cli.times import format_time, parse_moment_us
from fraud.cli.versions import taint

if TYPE_CHECKING:
    from fraud.v1.models_pb2 import GetChampionResponse


def champion(
    ctx: typer.Context,
    model: Annotated[list[str] | None, typer.Option(help="Only this model; default: all.")] = None,
    at: Annotated[str | None, typer.Option(help="A moment, like 2026-03-01T12:00:00Z; default: now.")] = None,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Show the champion of each model, now or at a past moment."""
    shell = shell_of(ctx)
    at_us = 0 if at is None else parse_moment_us(at, "--at")

    def look(reader: Reader) -> list[dict[str, Any]]:
        found = [reader.get_champion(name, at_us) for name in model or list(shell.settings.models)]
        tainted = [
            list(reader.get_version(it.version).version.tainted_by) if it.version else [] for it in found
        ]
        return [_document(*pair) for pair in zip(found, tainted, strict=True)]

    documents = look_back(shell, target, look)
    rows = [
        (
            each["model"],
            each["version"] or "none",
            each["policy_version"] or "–",
            each["since"] or "–",
            each["intended_version"] or "none",
            taint(each["tainted_by"]),
        )
        for each in documents
    ]
    moment = "now" if at_us == 0 else f"at {format_time(at_us)}"
    columns = ["model", "version", "policy", "since", "intended", "tainted by"]
    shell.show(
        {"at": at, "champions": documents},
        table(f"Champions {moment}", columns, rows),
    )


def _document(response: "GetChampionResponse", tainted_by: list[int]) -> dict[str, Any]:
    return {
        "model": response.model,
        "version": response.version,
        "policy_version": response.policy_version,
        "since": format_time(response.since_us),
        "ledger_seq": response.ledger_seq,
        "intended_version": response.intended_version,
        "tainted_by": tainted_by,
    }
