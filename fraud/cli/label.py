"""`fraud label push`, `batches` and `retract`: verdicts in, what has come in, and a batch taken back.

A batch is sent in parts of `server.label_rows_max` rows, of fewer where comments
are long. The same file under the same batch id is taken once however often it is
pushed, so a push that broke off is simply repeated. A file with a broken row is refused whole, before
anything is sent, so that it can be mended and pushed under the same id;
`--skip-broken` sends the rest instead. `--since` and `--until` send a span of a larger file, under a batch id
of its own; what they leave out is counted.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.label_file import BrokenRow, read_labels
from fraud.cli.label_parts import parts_of
from fraud.cli.looking_back import look_back
from fraud.cli.paging import first_of_pages
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time, parse_past_us
from fraud.errors import InvalidInput
from fraud.records import Label, LabelValue

if TYPE_CHECKING:
    from fraud.client import Client
    from fraud.serving.feedback import Taken
    from fraud.v1.labels_pb2 import LabelBatch, SubmitLabelsResponse

    Reply = SubmitLabelsResponse | Taken

LISTED_MAX = 20
"""Refused rows that are listed one by one; the rest is counted."""

app = typer.Typer(no_args_is_help=True, help="Hand in verdicts, see what came in, take a batch back.")


@app.command("push")
def push(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines.", exists=True, dir_okay=False)],
    batch: Annotated[str, typer.Option(help="Id of the batch; the same id again is taken once.")],
    source: Annotated[str, typer.Option(help="Who says so, e.g. chargeback; one of labels.sources.")],
    submitter: Annotated[
        str | None, typer.Option(help="The person or system that hands it in; default: your identity.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
    skip_broken: Annotated[bool, typer.Option(help="Send the other rows when some are broken.")] = False,
    since: Annotated[
        str, typer.Option(help="Only labels whose label_time is this or later: a moment, or 30d before now.")
    ] = "",
    until: Annotated[
        str, typer.Option(help="And before this one: half-open, so a label of this very moment is left out.")
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check all of it, by the data folder if it is here; send nothing."),
    ] = False,
) -> None:
    """Hand in a file of labels: transaction_id, value, label_time and optionally comment."""
    shell = shell_of(ctx)
    limits = shell.settings.server
    who = _submitter(shell, submitter)
    labels, broken = read_labels(file)
    if broken and not skip_broken:
        shown = "; ".join(f"{row.place}: {row.problem}" for row in broken[:LISTED_MAX])
        remedy = "mend the file, or send the other rows with --skip-broken; nothing was sent"
        raise InvalidInput(
            str(file), f"{len(broken)} of {len(labels) + len(broken)} rows are broken ({shown})", remedy
        )
    if not labels:
        raise InvalidInput(str(file), "holds no labels", "give a file with at least one row")
    wanted = _within(shell, labels, since, until)
    parts = parts_of(wanted, limits.label_rows_max, limits.message_bytes_max) if wanted else []
    if dry_run:
        replies = _rehearsed(shell, parts, batch, source, who, is_here=target is None)
    else:
        with shell.client(target, deadline_s=120.0, retries=9) as client:
            replies = list(_send(shell, client, parts, batch, source, who))
    sent = zip(parts, replies, strict=True)
    taken_before = sum(len(part) - len(reply.refused) for part, reply in sent if reply.repeated)
    document = _summary(batch, parts, replies, broken) | {
        "taken_before": taken_before,
        **_said_twice(wanted),
        "left_out": len(labels) - len(wanted),
        "dry_run": dry_run,
    }
    _show(shell, document)
    if document["refused"]:
        raise typer.Exit(1)


def _within(shell: Shell, labels: list[Label], since: str, until: str) -> list[Label]:
    """Return the labels whose time lies in [since, until), in their order; "" is no bound."""
    since_us = parse_past_us(since, "--since", shell.now_us) if since else None
    until_us = parse_past_us(until, "--until", shell.now_us) if until else None
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise InvalidInput("--until", f"{until!r} is not after --since {since!r}", "give a later end")
    return [
        label
        for label in labels
        if (since_us is None or since_us <= label.label_time_us)
        and (until_us is None or label.label_time_us < until_us)
    ]


def _said_twice(labels: Sequence[Label]) -> dict[str, int]:
    """Count rows that are there before, and payments that one file calls both; they are sent all the same."""
    values: defaultdict[str, set[LabelValue]] = defaultdict(set)
    for label in labels:
        values[label.transaction_id].add(label.value)
    both = {LabelValue.FRAUD, LabelValue.LEGITIMATE}
    return {
        "duplicates": len(labels) - len(set(labels)),
        "contradictions": sum(both <= said for said in values.values()),
    }


def _rehearsed(
    shell: Shell,
    parts: Sequence[Sequence[Label]],
    batch: str,
    source: str,
    who: str,
    *,
    is_here: bool,
) -> Sequence["Reply"]:
    """Return what would become of the parts, as far as can be told without the server."""
    from fraud.serving.rehearsal import rehearse_labels

    settings = shell.settings
    look_up = is_here and settings.places.log.is_file()
    replies = rehearse_labels(settings, shell.now_us(), batch, source, who, parts, look_up=look_up)
    if not look_up:
        shell.caution("the log is not here: neither payments nor earlier batches were looked up")
    elif not who:
        shell.caution("the server says who you are: whether the batch came before was not looked up")
    return replies


def _send(
    shell: Shell, client: "Client", parts: Sequence[Sequence[Label]], batch: str, source: str, submitter: str
) -> Iterator["SubmitLabelsResponse"]:
    with shell.progress() as progress:
        task = progress.add_task("labels", total=sum(map(len, parts)))
        for number, part in enumerate(parts):
            yield client.submit_labels(batch, number, source, submitter, part)
            progress.advance(task, len(part))


def _summary(
    batch: str,
    parts: Sequence[Sequence[Label]],
    replies: Sequence["Reply"],
    broken: Sequence[BrokenRow],
) -> dict[str, Any]:
    refused = [{"place": row.place, "transaction_id": "", "reason": row.problem} for row in broken]
    reasons: Counter[str] = Counter({"broken row": len(broken)} if broken else {})
    firsts = accumulate(map(len, parts), initial=1)
    for first, reply in zip(firsts, replies, strict=False):
        for row in reply.refused:
            reasons[_kind(f"{row.field}: {row.reason}" if row.field else row.reason)] += 1
            place = f"label {first + row.index}"
            refused.append({"place": place, "transaction_id": row.transaction_id, "reason": row.reason})
    return {
        "batch_id": batch,
        "parts": len(replies),
        "accepted": sum(reply.accepted for reply in replies),
        "waiting": sum(reply.waiting for reply in replies),
        "refused": len(refused),
        "refused_by_reason": dict(reasons.most_common()),
        "refused_rows": refused[:LISTED_MAX],
    }


def _kind(reason: str) -> str:
    """Return a reason without the numbers of its row, which would give each row a kind of its own.

    >>> _kind("label_time_us: lies 3600 s too far in the future; send it after its time")
    'label_time_us: lies … s too far in the future; send it after its time'
    """
    problem, semicolon, remedy = reason.partition("; ")
    return re.sub(r"\d+", "…", problem) + semicolon + remedy


def _show(shell: Shell, document: dict[str, Any]) -> None:
    rows: list[tuple[object, ...]] = [
        ("accepted", document["accepted"]),
        (
            "waiting: their payment is not in the log; if archived, they teach all the same",
            document["waiting"],
        ),
        ("taken before", document["taken_before"]),
        ("duplicates: the same row stands in the file before", document["duplicates"]),
        ("contradictions: payments that the file calls FRAUD and LEGITIMATE", document["contradictions"]),
        ("left out: their time is not in [since, until)", document["left_out"]),
        *((f"refused: {reason}", count) for reason, count in document["refused_by_reason"].items()),
    ]
    what = ", as it would be taken; nothing was sent" if document["dry_run"] else ""
    title = f"Batch {document['batch_id']}, {document['parts']} part(s){what}"
    tables = [table(title, ["labels", "rows"], rows)]
    if document["refused_rows"]:
        listed = [(row["place"], row["transaction_id"], row["reason"]) for row in document["refused_rows"]]
        title = f"Refused, the first {len(listed)} of {document['refused']}"
        tables.append(table(title, ["where", "transaction", "why"], listed))
    shell.show(document, *tables)


@app.command("batches")
def batches(
    ctx: typer.Context,
    since: Annotated[
        str, typer.Option(help="Only batches that arrived since a moment, or in so long a time.")
    ] = "30d",
    source: Annotated[str, typer.Option(help="Only of this source.")] = "",
    rows_max: Annotated[int, typer.Option("--limit", min=1, help="At most so many parts.")] = 100,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """List the label batches that have come in, oldest first."""
    shell = shell_of(ctx)
    since_us = parse_past_us(since, "--since", shell.now_us)
    found, more = look_back(
        shell,
        target,
        lambda reader: first_of_pages(
            lambda token: reader.list_batches(since_us, source, page_token=token),
            lambda page: ([_batch(each) for each in page.batches], page.next_page_token),
            rows_max,
        ),
    )
    if more:
        shell.note(
            f"more than {rows_max} came in; the oldest are shown: narrow with --since or raise --limit"
        )
    keys = ["batch_id", "part", "source", "submitter", "arrival", "frauds", "legitimates", "withdrawn"]
    names = ["batch", "part", "source", "submitter", "arrived", "fraud", "legit.", "withdr.", ""]
    rows = [[*(each[key] for key in keys), "retracted" if each["retracted"] else ""] for each in found]
    shell.show({"batches": found, "more": more}, table("Label batches", names, rows))


def _batch(each: "LabelBatch") -> dict[str, Any]:
    return {
        "batch_id": each.batch_id,
        "part": each.part,
        "source": each.source,
        "submitter": each.submitter,
        "arrival": format_time(each.arrival_time_us),
        "frauds": each.frauds,
        "legitimates": each.legitimates,
        "withdrawn": each.withdrawn,
        "digest": each.digest,
        "retracted": each.retracted,
    }


@app.command("retract")
def retract(
    ctx: typer.Context,
    batch: Annotated[str, typer.Argument(help="Id of the batch.")],
    reason: Annotated[str, typer.Option(help="Why it was wrong; kept.")],
    submitter: Annotated[
        str | None, typer.Option(help="The person or system that takes it back; default: your identity.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Take a batch back with all its parts: its labels count no more. The same again changes nothing."""
    shell = shell_of(ctx)
    who = _submitter(shell, submitter)
    with shell.client(target, retries=9) as client:
        reply = client.retract_batch(batch, who, reason)
    document = {
        "batch_id": batch,
        "labels": reply.labels,
        "retracted_before": reply.repeated,
        "versions": list(reply.versions),
    }
    said = (
        "was taken back before" if reply.repeated else f"is taken back: {reply.labels} labels count no more"
    )
    lines = [f"batch {batch} {said}"]
    if reply.versions:
        names = ", ".join(reply.versions)
        lines.append(f"{names} learned from it; 'fraud exclude --batch {batch}' cuts it out of them")
    shell.show(document, *lines)


def _submitter(shell: Shell, given: str | None) -> str:
    if not given and not shell.credentials.tell_who:
        raise InvalidInput("--submitter", "is not given", "name who hands it in, or show a token ([client])")
    return given or ""
