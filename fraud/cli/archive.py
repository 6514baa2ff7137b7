"""`fraud archive compact` and `fraud archive vacuum`: upkeep of a data folder, beside whatever runs on it."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import shell_of, table

if TYPE_CHECKING:
    from fraud.serving.vacuum import VacuumPlan

app = typer.Typer(no_args_is_help=True, help="Merge small files of the archive; let go of what is not kept.")


@app.command("compact")
def compact(ctx: typer.Context) -> None:
    """Merge the small files of the archive; what they replace is deleted retention.files later."""
    from fraud.features.archive import open_archive

    shell = shell_of(ctx)
    settings = shell.settings
    archive = open_archive(settings)
    before = archive.sizes()
    archive.compact(timedelta(microseconds=settings.retention.files))
    after = archive.sizes()
    tables = {
        name: {
            "files_before": before[name].files,
            "files_after": after[name].files,
            "bytes_before": before[name].bytes,
            "bytes_after": after[name].bytes,
        }
        for name in before
    }
    columns = ["table", "files", "→", "bytes", "→ "]
    rows = [[name, *(it[key] for key in it)] for name, it in tables.items()]
    shell.show({"tables": tables}, table("Archive", columns, rows))


@app.command("vacuum")
def vacuum(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    reason: Annotated[str, typer.Option(help="Stands in the ledger.")] = "retention",
    actor: Annotated[str | None, typer.Option(help="Stands in the ledger; default: your user.")] = None,
) -> None:
    """Let go of old bundles, unnamed archive files, old snapshots and leftovers, as `retention` says."""
    from fraud.serving.vacuum import Vacuum

    shell = shell_of(ctx)
    here = Vacuum.open(shell.settings)
    try:
        plan = here.plan() if dry_run else here.carry_out(actor=shell.local_signer(actor), reason=reason)
    finally:
        here.close()
    verb = "Would go" if dry_run else "Gone"
    rows = [[it.what, it.name, it.bytes, it.why] for it in plan.removals]
    kept = [[", ".join(fate.versions), fate.why] for fate in plan.kept]
    shell.show(
        _document(plan, dry_run=dry_run),
        table(f"{verb}: {len(rows)}, {plan.bytes} bytes", ["what", "name", "bytes", "why"], rows),
        table(f"Bundles that stay: {len(kept)}", ["versions", "why"], kept),
    )


def _document(plan: "VacuumPlan", *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "bytes": plan.bytes,
        "removals": [
            {"what": it.what, "path": str(it.path), "name": it.name, "bytes": it.bytes, "why": it.why}
            for it in plan.removals
        ],
        "kept": [{"versions": list(fate.versions), "why": fate.why} for fate in plan.kept],
    }
