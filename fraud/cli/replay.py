"""`fraud replay`: recomputes the features of the whole log and compares them bit for bit.

archive (what was pruned), then log → the fold that also scores → recomputed = logged?
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import Shell, shell_of
from fraud.errors import NotAllowedNow

if TYPE_CHECKING:
    from fraud.archive.archive import Archive
    from fraud.eventlog.log import EventLog
    from fraud.features.fold import Coordinates, FeatureFold
    from fraud.labels.exclusions import View
    from fraud.settings import Settings


def replay(
    ctx: typer.Context,
    upto: Annotated[
        int | None, typer.Option(min=1, help="Last position; default: the head of the log.")
    ] = None,
) -> None:
    """Recompute all logged features and report the first difference; none is the only good answer."""
    shell = shell_of(ctx)
    rows, difference = _replay(shell, shell.settings, upto)
    document = {"transactions": rows, "equal": difference is None, "first_difference": difference}
    if difference is None:
        shell.show(document, f"{rows} transaction(s) replayed; every feature is equal, bit for bit")
        return
    text = (
        f"position {difference['position']}, transaction {difference['transaction_id']}: "
        f"{difference['feature']} was logged as {difference['logged']!r} "
        f"and is {difference['recomputed']!r} when replayed"
    )
    shell.show(document, text)
    raise typer.Exit(1)


def _replay(shell: Shell, settings: "Settings", upto: int | None) -> tuple[int, dict[str, Any] | None]:
    from fraud.archive.archive import Archive
    from fraud.eventlog.sqlite import SqliteEventLog
    from fraud.features.difference import first_difference
    from fraud.features.fold import FeatureFold
    from fraud.features.replay import replay as replay_entries
    from fraud.features.spec import FeatureSpec
    from fraud.labels.standing import ConflictRule
    from fraud.serving.recovery import entries_after, rebuilt

    if not settings.places.log.exists():
        raise NotAllowedNow(
            f"{settings.places.log}: there is no log yet; 'fraud up' or 'fraud import' starts one"
        )
    spec = FeatureSpec.of(settings)
    log = SqliteEventLog.open(settings.places.log, writable=False, entity_names=settings.schema_.entity_names)
    archive = Archive(settings.places.archive, settings.schema_, spec.names)
    head = log.head() if upto is None else min(upto, log.head())
    rule = ConflictRule.of(settings.labels)
    fold = FeatureFold(spec, rule)
    rows = 0

    def rebuild(view: "View", position: int) -> "FeatureFold":
        return rebuilt(spec, rule, log, archive, view, position)

    try:
        with shell.progress() as progress:
            task = progress.add_task("entries", total=head)
            entries = entries_after(log, archive, 0, head)
            found = replay_entries(fold, entries, lambda ids: _find(ids, log, archive), rebuild)
            for run, features in found:
                difference = first_difference(run, features, spec.names)
                if difference is not None:
                    return rows, difference
                rows += len(run)
                progress.update(task, completed=run[-1].position if run else head)
            progress.update(task, completed=head)
    finally:
        log.close()
    return rows, None


def _find(transaction_ids: Sequence[str], log: "EventLog", archive: "Archive") -> "dict[str, Coordinates]":
    """Where transactions stand, from the log or, when they have left it, the archive."""
    from fraud.features.fold import Coordinates
    from fraud.records import MISSING_SURROGATE
    from fraud.serving.feedback import coordinates_of

    found = coordinates_of(log.find(transaction_ids))
    missing = [transaction_id for transaction_id in transaction_ids if transaction_id not in found]
    if missing and log.first() > 1:
        frame = archive.find(missing)
        names = [name for name in frame.columns if name.startswith("entity_")]
        for row in frame.iter_rows(named=True):
            surrogates = tuple(MISSING_SURROGATE if row[name] is None else row[name] for name in names)
            found[row["transaction_id"]] = Coordinates(surrogates, row["event_time_us"], row["position"])
    return found
