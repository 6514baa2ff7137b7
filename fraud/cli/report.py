"""`fraud report VERSION` and `fraud report --compare A B`: one HTML page for people.

It works on the data folder, with or without a service running on it; nothing is changed.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from fraud.cli.shell import Shell, file_for, shell_of
from fraud.errors import InvalidInput


def report(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="e.g. card-7", show_default=False)] = "",
    compare: Annotated[
        tuple[str, str], typer.Option(help="Two versions side by side, on what is evidence for both.")
    ] = ("", ""),
    out: Annotated[Path | None, typer.Option(help="File; default: named like the version.")] = None,
) -> None:
    """Write a page that needs nothing beside it: data, labels, quality, money, drift, verdict, lineage."""
    shell = shell_of(ctx)
    if bool(version) == any(compare):
        raise InvalidInput("VERSION, --compare", "must be given one or the other", "name one version, or two")
    from fraud.report.page import require_report_extra

    require_report_extra()
    path = file_for(out or Path(f"{version or '-'.join(compare)}.html"))
    shell.note("reading the archive; this takes a moment")
    document = _one(shell, version, path) if version else _two(shell, compare, path)
    shell.show({"report": str(path), **document}, f"wrote {path}")
    for problem in document.get("problems", ()):
        shell.note(f"not as it should be: {problem}")


def _one(shell: Shell, version: str, path: Path) -> dict[str, Any]:
    from fraud.report.folder import Folder
    from fraud.report.version_page import read_version, render_version

    folder = Folder.open(shell.settings)
    made = read_version(folder, version)
    path.write_text(render_version(folder, made), encoding="utf-8")
    return {
        "version": version,
        "verdict": made.verdict.verdict if made.verdict else "",
        "against": made.against,
        "figures": [
            {
                "figure": f"{each.name}_{each.side}",
                "ledger": each.check.value,
                "recomputed": each.recomputed,
                "agrees": each.agrees,
            }
            for each in made.quality
        ],
        "problems": list(made.problems),
    }


def _two(shell: Shell, versions: tuple[str, str], path: Path) -> dict[str, Any]:
    from fraud.report.comparison_page import read_comparison, render_comparison
    from fraud.report.folder import Folder

    folder = Folder.open(shell.settings)
    made = read_comparison(folder, *versions)
    path.write_text(render_comparison(folder, made), encoding="utf-8")
    sides = dict(made.figures)
    if made.difference is not None:
        sides["difference"] = made.difference
    return {
        "versions": list(versions),
        "figures": {
            name: {
                figure: [_finite(each) for each in (interval.value, interval.low, interval.high)]
                for figure, interval in (
                    ("average_precision", figures.average_precision),
                    ("recall", figures.recall),
                )
            }
            for name, figures in sides.items()
        },
    }


def _finite(value: float) -> float | None:
    return None if value != value else value
