"""`fraud import`: loads a history into an empty service."""

from pathlib import Path
from typing import Annotated

import typer

from fraud.cli.shell import shell_of, table
from fraud.cli.times import format_time
from fraud.errors import ConfigError


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Parquet or CSV.", exists=True, dir_okay=False)],
) -> None:
    """Load a history into an empty service that does not run; the configuration maps its columns."""
    shell = shell_of(ctx)
    settings = shell.settings
    if settings.import_ is None:
        raise ConfigError(f"{shell.config}: has no [import]; it maps the file's columns, see 'fraud init'")
    from fraud.serving.history import import_history

    shell.write_logs()
    with shell.progress() as progress:
        task = progress.add_task("transactions", total=None)
        summary = import_history(
            settings, file, lambda done, total: progress.update(task, completed=done, total=total)
        )
    document = {
        "file": str(file),
        "transactions": summary.transactions,
        "frauds": summary.frauds,
        "labels_waiting": summary.labels_waiting,
        "first_event": format_time(summary.first_event_us),
        "last_event": format_time(summary.last_event_us),
    }
    rows = [(name.replace("_", " "), value) for name, value in document.items()]
    shell.show(document, table("Imported", ["", ""], rows), "next: fraud retrain --once, then fraud up")
