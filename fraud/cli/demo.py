"""`fraud demo`: the whole loop against a simulated stream, on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fraud.cli.shell import Output, shell_of


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the data and the report; made when missing.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated stream.")] = 7,
) -> None:
    """Run the loop: cold start, first champion, fraud that changes, retrain, verdict, promotion."""
    shell = shell_of(ctx)
    from fraud.adversary.demo import run

    as_json = shell.output is Output.JSON
    result = run(out, output_json=as_json, seed=seed, console=None if as_json else Console())
    if as_json:
        shell.show(result.as_json())
    for problem in result.problems:
        typer.echo(f"fraud: {problem}", err=True)
    if result.problems:
        raise typer.Exit(1)
