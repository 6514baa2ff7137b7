"""`fraud backup TARGET` and `fraud restore SOURCE --into DIR`: copies of a data folder, made and put back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import shell_of, table

if TYPE_CHECKING:
    from fraud.upkeep.inventory import Inventory


def backup(
    ctx: typer.Context,
    target: Annotated[Path, typer.Argument(help="A new folder, or a new file when it ends in .tar.")],
) -> None:
    """Copy the data folder while scorer and retrainer run on it; whole or not there at all."""
    from fraud.clock import WallClock
    from fraud.upkeep.backup import back_up

    shell = shell_of(ctx)
    inventory = back_up(shell.settings, shell.config, target, now_us=WallClock().now_us())
    document = {"written": str(target)} | _document(inventory)
    shell.show(document, table(f"Backup: {target}", ["", " "], _rows(inventory)))


def restore(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(help="What 'fraud backup' wrote.")],
    into: Annotated[Path, typer.Option(help="The data folder to make; must not hold anything.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Also run every bundle's self-test and replay the log's tail.")
    ] = False,
) -> None:
    """Make a data folder of a backup; digests, chain of hashes and counts are checked first."""
    from fraud.upkeep.restoring import restore as put_back

    shell = shell_of(ctx)
    restored = put_back(shell.settings, source, into, verify=verify)
    looked = {
        "verified": verify,
        "bundles_tested": restored.bundles_tested,
        "transactions_replayed": restored.transactions_replayed,
        "transactions_left_out": restored.transactions_left_out,
    }
    rows = _rows(restored.inventory)
    if verify:
        rows.append(["self-tests", f"{restored.bundles_tested} bundle(s), bit for bit"])
        rows.append(["replay", f"{restored.transactions_replayed} transaction(s), every feature as logged"])
        if restored.transactions_left_out:
            text = f"{restored.transactions_left_out} transaction(s), logged under another set of features"
            rows.append(["left out", text])
    document = {"restored": str(into)} | looked | _document(restored.inventory)
    shell.show(document, table(f"Restored: {into}", ["", " "], rows))
    if into.absolute() != shell.settings.data_dir.absolute():
        shell.note(f"set service.data_dir to {into.absolute()}, then 'fraud doctor' and 'fraud up'")


def _document(inventory: "Inventory") -> dict[str, Any]:
    from fraud.cli.times import format_time

    return {
        "release": inventory.release,
        "made_at": format_time(inventory.made_at_us),
        "formats": inventory.formats,
        "log": {
            "first": inventory.log_first,
            "head": inventory.log_head,
            "entries": inventory.log_entries,
        },
        "ledger": {"head": inventory.ledger_head, "hash": inventory.ledger_hash},
        "archive": {"position": inventory.archive_position, "rows": inventory.archive_rows},
        "bundles": list(inventory.bundles),
        "snapshot": inventory.snapshot,
        "files": len(inventory.files),
        "bytes": inventory.bytes,
    }


def _rows(inventory: "Inventory") -> list[list[object]]:
    told = _document(inventory)
    return [
        ["made", f"{told['made_at']} by release {inventory.release}"],
        ["log", f"positions {inventory.log_first} to {inventory.log_head}"],
        ["archive", f"up to position {inventory.archive_position}"],
        ["ledger", f"{inventory.ledger_head} entries, the last {inventory.ledger_hash}"],
        ["bundles", len(inventory.bundles)],
        ["snapshot", f"at position {inventory.snapshot}" if inventory.snapshot else "none"],
        ["files", f"{len(inventory.files)}, {inventory.bytes} bytes"],
    ]
