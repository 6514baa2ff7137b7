"""`fraud demo`: adaptive attackers against the whole loop, on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fraud.cli.shell import Output, shell_of


def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the data and the report; made when missing.")],
    seed: Annotated[int, typer.Option(min=0, help="Of payments and attackers.")] = 7,
) -> None:
    """Play attackers who adapt against the running service, and against its first champion.

    Ends with 0 whoever wins; with 1 when something broke: a request failed, a payment is missing.
    """
    shell = shell_of(ctx)
    from fraud.adversary.demo import run
    from fraud.adversary.figures import Plan

    as_json = shell.output is Output.JSON
    result = run(out, output_json=as_json, console=None if as_json else Console(), plan=Plan(seed=seed))
    if as_json:
        shell.show(result.as_json())
    for problem in () if as_json else result.problems:
        typer.echo(f"fraud: {problem}", err=True)
    if result.problems:
        raise typer.Exit(1)
