"""`fraud import`: loads a history into an empty service."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli.label_file import write_labels
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time
from fraud.clock import DAY_US
from fraud.errors import ConfigError

if TYPE_CHECKING:
    from fraud.serving.history import ImportSummary


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Parquet or CSV.", exists=True, dir_okay=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check all of it, write nothing.")
    ] = False,
) -> None:
    """Load a history into an empty service that does not run; the configuration maps its columns."""
    shell = shell_of(ctx)
    settings = shell.settings
    if settings.import_ is None:
        raise ConfigError(f"{shell.config}: has no [import]; it maps the file's columns, see 'fraud init'")
    from fraud.serving.history import LATER, import_history

    later = settings.data_dir / LATER
    shell.write_logs()
    if dry_run:
        from fraud.serving.rehearsal import rehearse_import

        _show(shell, file, rehearse_import(settings, file), dry_run=True)
        return
    with shell.progress() as progress:
        task = progress.add_task("transactions", total=None)
        summary = import_history(
            settings,
            file,
            lambda done, total: progress.update(task, completed=done, total=total),
            keep_later=lambda labels: write_labels(later, labels),
        )
    _show(shell, file, summary, dry_run=False)
    if summary.later:
        source = settings.import_.label_source
        shell.note(
            f"{len(summary.later)} frauds are NOT loaded: they become known after the history ends. They are "
            f"in {later}; push each when its time has come, or they will be learned as honest. "
            + how_to_push(later, source, [it.label_time_us for it in summary.later])
        )
    shell.note("next: fraud retrain --once, then fraud up")


def how_to_push(later: Path, source: str, times_us: Sequence[int]) -> str:
    """Say how the first span is pushed and when; a span of whole days, a week at most."""
    since_us, last_us = (time_us - time_us % DAY_US for time_us in (min(times_us), max(times_us)))
    end_us = last_us + DAY_US
    until_us = min(since_us + 7 * DAY_US, end_us)
    since, until, end = (format_time(time_us)[:10] for time_us in (since_us, until_us, end_us))
    text = (
        f"From {until} on:\n  fraud label push {shlex.quote(str(later))} --batch later-{until} "
        f"--source {source} --submitter YOU --since {since} --until {until}"
    )
    more = f"\nand so on to {end}, each span when it is over, under a batch id of its own"
    return text + (more if until_us < end_us else "")


def _show(shell: Shell, file: Path, summary: "ImportSummary", *, dry_run: bool) -> None:
    document = {
        "file": str(file),
        "transactions": summary.transactions,
        "frauds": summary.frauds,
        "frauds_later": len(summary.later),
        "first_event": format_time(summary.first_event_us),
        "last_event": format_time(summary.last_event_us),
    }
    rows = [(name.replace("_", " "), value) for name, value in document.items()]
    title = "Would be imported; nothing was written" if dry_run else "Imported"
    shell.show({**document, "dry_run": dry_run}, table(title, ["", ""], rows))
