"""`fraud replay`: recomputes the features of the whole log and compares them bit for bit.

archive (what was pruned), then log → the fold that also scores → recomputed = logged?
"""

from contextlib import closing, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fraud.cli.shell import Shell, shell_of
from fraud.errors import NotAllowedNow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fraud.features.difference import Comparison
    from fraud.records import Entry
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


class _DiffersError(Exception):
    """Ends a replay at its first difference."""


def _replay(shell: Shell, settings: "Settings", upto: int | None) -> "Comparison":
    from fraud.eventlog.folder import open_log
    from fraud.features.archive import open_archive
    from fraud.features.difference import Comparison
    from fraud.features.fold import FeatureFold
    from fraud.features.spec import FeatureSpec
    from fraud.labels.standing import ConflictRule
    from fraud.serving.recovery import catch_up

    spec = FeatureSpec.of(settings)
    with closing(open_log(settings)) as log, shell.progress() as progress:
        archive = open_archive(settings)
        head = log.head() if upto is None else min(upto, log.head())
        comparison = Comparison.of(spec, log, archive)
        task = progress.add_task("entries", total=head)

        def judge(run: "list[Entry]", features: "NDArray[np.float32]") -> None:
            if not comparison.take(run, features):
                raise _DiffersError
            progress.update(task, completed=run[-1].position)

        with suppress(_DiffersError):
            fold = FeatureFold(spec, ConflictRule.of(settings.labels))
            catch_up(fold, log, archive, head, follow=True, judge=judge)
            progress.update(task, completed=head)
    return comparison
