"""`fraud history`: what the scorer put into effect, who asked for it, and why; or all that the ledger has."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.looking_back import look_back
from fraud.cli.paging import rows_of_pages
from fraud.cli.shell import shell_of, table
from fraud.cli.times import format_time

if TYPE_CHECKING:
    from fraud.v1.models_pb2 import HistoryEntry


def history(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="Only this model, and what concerns all; default: all.")] = "",
    all_: Annotated[
        bool,
        typer.Option(
            "--all", help="Every entry of the ledger: retrains, verdicts, rules, erasures and so on."
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """List promotions, rollbacks and exclusions as they took effect, newest first."""
    shell = shell_of(ctx)
    found = look_back(
        shell,
        target,
        lambda reader: rows_of_pages(
            lambda token: reader.get_history(model, page_token=token, ledger=all_),
            lambda page: ([_document(each) for each in page.entries], page.next_page_token),
            limit,
        ),
    )
    if all_:
        told = [
            (it["time"], it["ledger_seq"], it["model"] or "all", it["what"], _who(it), it["reason"])
            for it in found
        ]
        shell.show({"entries": found}, table("Ledger", ["when", "entry", "model", "what", "by", "why"], told))
        return
    rows = [
        (
            each["time"],
            each["model"] or "all",
            each["version"] or ("none" if each["model"] else None),
            _what(each),
            each["ledger_seq"],
            _who(each),
            each["reason"],
        )
        for each in found
    ]
    columns = ["since", "model", "serves", "what", "entry", "by", "why"]
    shell.show({"entries": found}, table("History", columns, rows))


def _document(entry: "HistoryEntry") -> dict[str, Any]:
    return {
        "time": format_time(entry.time_us),
        "model": entry.model,
        "version": entry.version,
        "kind": entry.kind,
        "ledger_seq": entry.ledger_seq,
        "actor": entry.actor,
        "reason": entry.reason,
        "refused": entry.refused,
        "overridden": entry.overridden,
        "asked_by": entry.asked_by,
        "what": entry.what,
    }


def _who(entry: dict[str, Any]) -> str:
    return f"{entry['actor']}, asked by {entry['asked_by']}" if entry["asked_by"] else str(entry["actor"])


def _what(entry: dict[str, Any]) -> str:
    override = f" by override: {entry['overridden']}" if entry["overridden"] else ""
    return str(entry["kind"]) + override + (f", refused: {entry['refused']}" if entry["refused"] else "")
