"""`fraud serve`: the scoring process."""

import os

import typer

from fraud.cli.arenas import allocate_from_few
from fraud.cli.shell import shell_of
from fraud.cli.supervised import drain_without_supervisor


def serve(ctx: typer.Context) -> None:
    """Run the scorer until SIGTERM or SIGINT, then drain."""
    shell = shell_of(ctx)
    shell.write_logs()
    drain_without_supervisor(os.environ)
    allocate_from_few(os.environ)
    from fraud.serving.server import run

    run(shell.settings)
