"""`fraud replay`: recomputes the features of the whole log and compares them bit for bit.

archive (what was pruned), then log → the fold that also scores → recomputed = logged?
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli.shell import Shell, shell_of
from fraud.errors import NotAllowedNow

if TYPE_CHECKING:
    from fraud.archive.archive import Archive
    from fraud.eventlog.log import EventLog
    from fraud.features.difference import Comparison
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
    found = _replay(shell, shell.settings, upto)
    if found.left_out and not found.equal and found.first is None:
        raise NotAllowedNow(
            f"features: all {found.left_out} transactions were logged under another set than the "
            "configuration's; replay under the one that they were logged with"
        )
    document = {
        "transactions": found.equal,
        "left_out": found.left_out,
        "equal": found.first is None,
        "first_difference": None if found.first is None else asdict(found.first),
    }
    if found.first is not None:
        shell.show(document, str(found.first))
        raise typer.Exit(1)
    text = f"{found.equal} transaction(s) replayed; every feature is equal, bit for bit"
    if found.left_out:
        text += f"; {found.left_out} were logged under another set of features, and are not compared"
    shell.show(document, text)


def _replay(shell: Shell, settings: "Settings", upto: int | None) -> "Comparison":
    from fraud.archive.archive import Archive
    from fraud.eventlog.folder import open_log
    from fraud.features.difference import Comparison
    from fraud.features.fold import FeatureFold
    from fraud.features.replay import replay as replay_entries
    from fraud.features.spec import FeatureSpec
    from fraud.labels.standing import ConflictRule
    from fraud.serving.recovery import entries_after, rebuilt

    log = open_log(settings)
    spec = FeatureSpec.of(settings)
    archive = Archive(settings.places.archive, settings.schema_, spec.definitions)
    head = log.head() if upto is None else min(upto, log.head())
    rule = ConflictRule.of(settings.labels)
    fold = FeatureFold(spec, rule)
    before = spec.held_since(log.headings()) - 1
    comparison = Comparison(spec.names, max(before, archive.features_changed(spec.names)))

    def rebuild(view: "View", position: int) -> "FeatureFold":
        return rebuilt(spec, rule, log, archive, view, position)

    try:
        with shell.progress() as progress:
            task = progress.add_task("entries", total=head)
            entries = entries_after(log, archive, 0, head)
            found = replay_entries(fold, entries, lambda ids: _find(ids, log, archive), rebuild)
            for run, features in found:
                if not comparison.take(run, features):
                    break
                progress.update(task, completed=run[-1].position if run else head)
            else:
                progress.update(task, completed=head)
    finally:
        log.close()
    return comparison


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
