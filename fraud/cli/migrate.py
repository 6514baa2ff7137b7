"""`fraud migrate`: which formats the data folder has, which this release reads, and the steps between."""

from typing import Annotated

import typer

from fraud.cli.shell import Output, shell_of, table
from fraud.errors import InvalidInput

_HINT = "copy the data folder first, or 'fraud backup' it with the release that wrote it"


def migrate(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Bring a data folder of an earlier release to this one's formats; nothing may run on it."""
    from fraud.upkeep.migration import migrate as carry_out
    from fraud.upkeep.migration import plan

    shell = shell_of(ctx)
    settings = shell.settings
    parts = plan(settings.places)
    todo = sum(len(part.steps) for part in parts)
    document = {
        "dry_run": dry_run,
        "parts": [
            {
                "part": part.name,
                "found": part.found,
                "needed": part.needed,
                "steps": [step.text for step in part.steps],
            }
            for part in parts
        ],
    }
    rows = [
        (it.name, it.found, it.needed, "; ".join(step.text for step in it.steps) or "nothing to do")
        for it in parts
    ]
    shown = table(f"Formats: {settings.data_dir}", ["part", "found", "needed", "steps"], rows)
    if not todo or dry_run:
        end = _HINT if todo else "nothing to do: this release reads all that is there"
        shell.show(document | {"done": 0}, shown, end)
        return
    if not yes:
        if shell.output is Output.JSON:
            raise InvalidInput("--yes", "is not given", f"{_HINT}, then give it")
        shell.note(f"{todo} step(s); {_HINT}")
        typer.confirm("Go on?", abort=True, err=True)
    done = carry_out(settings.data_dir, parts)
    shell.show(document | {"done": done}, shown, f"{done} step(s) done")
