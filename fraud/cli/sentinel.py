"""`fraud sentinel add`, `list` and `retire`: confirmed frauds that no challenger may forget.

They work on the data folder, with or without a service running on it: log and
archive are read, and one entry goes to the ledger.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.id_file import read_ids
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time

if TYPE_CHECKING:
    from fraud.registry.sentinels import SentinelSet
    from fraud.retrainer.sentinels import Addition, SentinelDesk

LISTED_MAX = 20
"""Refused transactions that are shown one by one; JSON has them all."""

app = typer.Typer(no_args_is_help=True, help="Set confirmed frauds apart that no challenger may forget.")

_Model = Annotated[str, typer.Option(help="The model that has to catch them.")]
_Pattern = Annotated[str, typer.Option(help="Name of the set, like terminal or amount-2.")]
_Reason = Annotated[str, typer.Option(help="Stands in the ledger.")]
_Actor = Annotated[str | None, typer.Option(help="Stands in the ledger; default: your user.")]


@app.command("add")
def add(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="CSV with transaction_id, or one id on each line.", exists=True, dir_okay=False),
    ],
    model: _Model,
    pattern: _Pattern,
    reason: _Reason,
    actor: _Actor = None,
    skip_refused: Annotated[bool, typer.Option(help="Add the others when some are refused.")] = False,
) -> None:
    """Freeze confirmed frauds of one pattern; they are never learned from again."""
    shell = shell_of(ctx)
    ids = read_ids(file)
    with _desk(shell) as desk:
        addition = desk.add(
            model,
            pattern,
            ids,
            actor=shell.local_signer(actor),
            reason=reason,
            skip_refused=skip_refused,
        )
    _show_addition(shell, addition, model, pattern)
    if addition.refused:
        raise typer.Exit(1)


@app.command("list")
def list_(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="Only of this model; default: all.")] = "",
) -> None:
    """List the sets, and how well the present champions catch them."""
    shell = shell_of(ctx)
    with _desk(shell) as desk:
        standings = desk.standings(model)
    documents = [
        {
            **_document(each.sentinels),
            "caught_now": each.caught,
            "share_now": None if each.caught is None else each.caught / len(each.sentinels),
            "needed": each.needed,
            "confirmed": each.confirmed,
        }
        for each in standings
    ]
    names = ["model", "pattern", "frauds", "source", "added", "by", "then", "now", "needed", "confirmed"]
    keys = ["model", "pattern", "rows", "source", "added", "actor"]
    rows = [
        (
            *(each[key] for key in keys),
            _percent(each["share"]),
            _percent(each["share_now"]),
            each["needed"],
            each["confirmed"],
        )
        for each in documents
    ]
    shell.show({"sentinels": documents}, table("Sentinels", names, rows))


@app.command("retire")
def retire(
    ctx: typer.Context, model: _Model, pattern: _Pattern, reason: _Reason, actor: _Actor = None
) -> None:
    """Let go of a set: it guards nothing any more, and its frauds may be learned from."""
    shell = shell_of(ctx)
    with _desk(shell) as desk:
        retired = desk.retire(model, pattern, actor=shell.local_signer(actor), reason=reason)
    text = f"{pattern!r} of {model!r} is retired; its {len(retired)} frauds may be learned from again"
    shell.show({"model": model, "pattern": pattern, "rows": len(retired), "retired": True}, text)


@contextmanager
def _desk(shell: Shell) -> Iterator["SentinelDesk"]:
    from fraud.retrainer.sentinels import SentinelDesk

    with shell.progress() as progress:
        task = progress.add_task("reading the log", total=None, visible=False)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        desk = SentinelDesk.open(shell.settings, tell)
        try:
            yield desk
        finally:
            desk.close()


def _show_addition(shell: Shell, addition: "Addition", model: str, pattern: str) -> None:
    from fraud.retrainer.sentinels import weakness

    added = addition.sentinels
    notes = []
    if added is not None:
        notes.append(weakness(added))
        if addition.seen:
            notes.append(
                f"{added.champion} may have learned from {addition.seen} of them, which flatters its share; "
                "frauds from after its cut would not"
            )
    elif addition.refused:
        notes.append("nothing was added; mend the file, or add the others with --skip-refused")
    notes = [note for note in notes if note]
    reasons = Counter(each.why for each in addition.refused)
    document: dict[str, Any] = {
        "model": model,
        "pattern": pattern,
        "added": 0 if added is None else len(added),
        "sentinels": None if added is None else _document(added),
        "refused": len(addition.refused),
        "refused_by_reason": dict(reasons.most_common()),
        "refused_ids": [{"transaction_id": it.transaction_id, "why": it.why} for it in addition.refused],
        "notes": notes,
    }
    rows: list[tuple[object, ...]] = [("added", document["added"])]
    if added is not None and added.caught is not None:
        share = f"{added.caught_rows} of {len(added)}, {_percent(added.caught)}"
        rows += [("confirmed by", added.source), (f"caught by {added.champion}", share)]
    rows += [(f"refused: {why}", count) for why, count in reasons.most_common()]
    tables = [table(f"Sentinels {pattern!r} of {model!r}", ["frauds", ""], rows)]
    if addition.refused:
        listed = [(each.transaction_id, each.why) for each in addition.refused[:LISTED_MAX]]
        title = f"Refused, the first {len(listed)} of {len(addition.refused)}"
        tables.append(table(title, ["transaction", "why"], listed))
    shell.show(document, *tables, *notes)


def _document(sentinels: "SentinelSet") -> dict[str, Any]:
    return {
        "model": sentinels.model,
        "pattern": sentinels.pattern,
        "rows": len(sentinels),
        "source": sentinels.source,
        "added": format_time(sentinels.added_us),
        "actor": sentinels.actor,
        "reason": sentinels.reason,
        "champion": sentinels.champion,
        "caught": sentinels.caught_rows,
        "share": sentinels.caught,
    }


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"
