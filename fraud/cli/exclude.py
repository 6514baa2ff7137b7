"""`fraud exclude`: data that must not be learned from, and the repair step by step.

One selection: labels by --batch, --source or --submitter (with --from and --to by arrival), or
--transactions of a span of event time, of some entities. --undo lets it count again, --list shows
every exclusion and how far its repair has come.
"""

import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from fraud.cli.asked import wait_for_second
from fraud.cli.looking_back import look_back
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time, parse_moment_us
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.client import Client
    from fraud.v1.models_pb2 import ExcludeDataResponse, ExclusionStatus, RepairStep, Selection

Steps = list[dict[str, Any]]

_POLL_S: Final = 0.1
_DEADLINE_S = 600.0
_FAILED = ("rollback refused", "retrain failed", "not trained")


def exclude(
    ctx: typer.Context,
    batch: Annotated[str, typer.Option(help="Labels of this batch.")] = "",
    source: Annotated[str, typer.Option(help="Labels of this source.")] = "",
    submitter: Annotated[str, typer.Option(help="Labels handed in by this person or system.")] = "",
    transactions: Annotated[bool, typer.Option("--transactions", help="Transactions of a span.")] = False,
    from_: Annotated[str | None, typer.Option("--from", help="Start of the span, included.")] = None,
    to: Annotated[
        str | None,
        typer.Option(help="End of the span, not included. Without it also what is still to come."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only transactions with card=TOKEN; all given must hold.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Stands in the ledger; required but for a dry run.")] = "",
    actor: Annotated[
        str | None,
        typer.Option(help="Stands in the ledger; default: your identity or user."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do.")] = False,
    retrain: Annotated[bool, typer.Option(help="Retrain without the data at the end.")] = True,
    wait: Annotated[bool, typer.Option(help="Follow the repair until the retrain has ended.")] = True,
    undo: Annotated[int | None, typer.Option(min=1, help="Undo the exclusion of this ledger entry.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the exclusions.")] = False,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Cut polluted data out: of training, of the feature state, and of what serves."""
    shell = shell_of(ctx)
    selected = any((batch, source, submitter, transactions, from_, to, where))
    if selected + (undo is not None) + list_ != 1:
        raise InvalidInput(
            "--batch, --source, --submitter, --transactions, --undo, --list",
            "none is given" if not selected else "contradict each other",
            "choose data to exclude, or --undo, or --list",
        )
    if undo is not None and dry_run:
        raise InvalidInput("--undo, --dry-run", "contradict each other", "an undo has no dry run; see --list")
    if not list_ and not dry_run and not reason:
        raise InvalidInput("--reason", "is not given", "say why; it stands in the ledger")
    if list_:
        _list(shell, target)
        return
    who = shell.signer(actor)
    with shell.client(target, deadline_s=_DEADLINE_S) as client:
        if undo is not None:
            _undo(shell, client, undo, who, reason, wait=wait)
        else:
            selection = _selection(batch, source, submitter, transactions, from_, to, where or ())
            started = time.monotonic()
            reply = client.exclude(
                selection, dry_run=dry_run, no_retrain=not retrain, actor=who, reason=reason
            )
            if reply.asked_seq:
                wait_for_second(shell, "Exclusion", reply.asked_seq, reply.asked_until_us)
            if not (selection.to_us or selection.batch_id or reply.in_force_seq):
                whom = source or submitter or "these"
                shell.note(f"what still comes of {whom} is excluded, too, until --undo; --to bounds it")
            _show(shell, client, reply, started, retrain=retrain, wait=wait)


def _selection(
    batch: str,
    source: str,
    submitter: str,
    transactions: bool,
    from_: str | None,
    to: str | None,
    where: Sequence[str],
) -> "Selection":
    from fraud.v1.models_pb2 import Selection

    return Selection(
        batch_id=batch,
        source=source,
        submitter=submitter,
        transactions=transactions,
        from_us=0 if from_ is None else parse_moment_us(from_, "--from"),
        to_us=0 if to is None else parse_moment_us(to, "--to"),
        where=dict(_conditions(where)),
    )


def _conditions(where: Sequence[str]) -> Iterator[tuple[str, str]]:
    named = [text.partition("=")[0] for text in where]
    twice = next((entity for entity in named if named.count(entity) > 1), None)
    if twice is not None:
        problem = f"names {twice} twice, and no payment has two"
        raise InvalidInput("--where", problem, "exclude each in a command of its own")
    for text in where:
        entity, equals, token = text.partition("=")
        if not (entity and equals and token):
            raise InvalidInput("--where", f"{text!r} is no condition", "write it like card=TOKEN")
        yield entity, token


def _show(
    shell: Shell, client: "Client", reply: "ExcludeDataResponse", started: float, *, retrain: bool, wait: bool
) -> None:
    """Print what was done or would be, after following the repair to its end when that is wanted."""
    seq = reply.exclusion_seq
    document: dict[str, Any] = {
        "exclusion_seq": seq,
        "in_force_seq": reply.in_force_seq,
        "labels": reply.labels,
        "transactions": reply.transactions,
        "tainted": list(reply.tainted),
        "replacements": [
            {"model": each.model, "from_version": each.from_version, "to_version": each.to_version}
            for each in reply.replacements
        ],
    }
    before = f"excluded already by entry {reply.in_force_seq}" if reply.in_force_seq else ""
    if not seq:
        lines = [f"{before}; nothing would be done"] if before else []
        shell.show(document, _summary("Dry run of an exclusion", document), *lines)
        return
    if before:
        _show_in_force(shell, client, document, started, retrain=retrain, wait=wait)
        return
    _, document["steps"] = _follow(shell, client, seq, started, wait=wait)
    shell.show(document, _summary(f"Exclusion {seq}", document), _steps(document["steps"]))
    _exit(document["steps"])


def _show_in_force(
    shell: Shell, client: "Client", document: dict[str, Any], started: float, *, retrain: bool, wait: bool
) -> None:
    """Tell of the entry that excludes the same already; what its repair has yet to do is followed.

    So a command that broke off may be given again. How an earlier end went was said then.
    """
    seq = document["exclusion_seq"]
    (status,) = client.list_exclusions(seq)
    done = {_key(step) for step in status.steps if step.done}
    _, steps = _follow(shell, client, seq, started, wait=wait and len(done) < len(status.steps), told=done)
    document["steps"] = steps
    text = f"excluded already by entry {seq}; nothing was done"
    if retrain and not any(step["step"] == "retrain requested" for step in steps):
        text += ", and it asked for no retrain: see 'fraud retrain'"
    shell.show(document, _steps(steps), text)
    _exit([step for step in steps if (step["step"], step["text"]) not in done])


def _undo(shell: Shell, client: "Client", seq: int, actor: str, reason: str, *, wait: bool) -> None:
    started = time.monotonic()
    reply = client.undo_exclusion(seq, actor=actor, reason=reason)
    if reply.asked_seq:
        wait_for_second(shell, f"Undoing exclusion {seq}", reply.asked_seq, reply.asked_until_us)
    entry = reply.ledger_seq
    status, steps = _follow(shell, client, seq, started, wait=wait, only="undone")
    others = list(status.also_hidden_by)
    named = f"exclusion {', '.join(map(str, others))}"
    counts = "its data counts again"
    if others:
        counts = (
            f"all its data stays out by {named}"
            if status.all_hidden
            else (f"{counts}, but for what {named} hides of it, which stays out")
        )
    document = {
        "exclusion_seq": seq,
        "ledger_seq": entry,
        "also_hidden_by": others,
        "all_hidden": status.all_hidden,
        "steps": steps,
    }
    shell.show(document, f"exclusion {seq} is undone (ledger entry {entry}); {counts}")


def _key(step: "RepairStep") -> tuple[str, str]:
    return step.step, step.text


def _follow(
    shell: Shell,
    client: "Client",
    seq: int,
    started: float,
    *,
    wait: bool,
    only: str = "",
    told: AbstractSet[tuple[str, str]] = frozenset(),
) -> tuple["ExclusionStatus", Steps]:
    """Return an exclusion and the steps of its repair, seconds since `started`; each is told as it happens.

    `only` names the step that this is about; "": all. Those in `told` were done before, and have no seconds.
    """
    if wait:
        shell.note("following the repair; Ctrl-C leaves it to the service")
    seconds: dict[tuple[str, str], float] = {}
    while True:
        (status,) = client.list_exclusions(seq)
        now_s = time.monotonic() - started
        steps = [step for step in status.steps if only in ("", step.step)]
        for step in steps:
            key = _key(step)
            if step.done and key not in seconds and key not in told:
                seconds[key] = now_s
                shell.note(f"{now_s:8.1f} s  {step.step}: {step.text}")
        if not wait or all(step.done for step in steps):
            break
        time.sleep(_POLL_S)
    return status, [
        {
            "step": step.step,
            "done": step.done,
            "seconds": seconds.get(_key(step)),
            "time": format_time(step.time_us),
            "text": step.text,
        }
        for step in steps
    ]


def _exit(steps: Sequence[dict[str, Any]]) -> None:
    if any(step["step"] in _FAILED for step in steps):
        raise typer.Exit(1)


def _summary(title: str, document: dict[str, Any]) -> Table:
    rows: list[tuple[object, object]] = [
        ("labels", document["labels"]),
        ("transactions", document["transactions"]),
        ("tainted", ", ".join(document["tainted"]) or "no version"),
    ]
    for each in document["replacements"]:
        former, follower = each["from_version"], each["to_version"]
        text = f"{former} → {follower or 'none, for no clean one is left'}"
        if former == follower:
            text = f"{former} serves on, tainted, until a clean version is promoted"
        rows.append((f"champion of {each['model']}", text))
    return table(title, ["", ""], rows)


def _steps(steps: Sequence[dict[str, Any]]) -> Table:
    rows = [
        (
            step["step"],
            None if step["seconds"] is None else f"{step['seconds']:.1f}",
            step["text"] if step["done"] else f"to come: {step['text']}",
        )
        for step in steps
    ]
    return table("Repair", ["step", "seconds", ""], rows)


def _list(shell: Shell, target: str | None) -> None:
    found = look_back(
        shell,
        target,
        lambda reader: [_document(status) for status in reader.list_exclusions()],
        deadline_s=_DEADLINE_S,
    )
    columns = ["entry", "since", "what", "labels", "transactions", "tainted", "stands", "by", "why"]
    rows = [
        (
            each["exclusion_seq"],
            each["time"],
            each["selection"],
            each["labels"],
            each["transactions"],
            ", ".join(each["tainted"]) or None,
            _standing(each),
            each["actor"],
            each["reason"],
        )
        for each in found
    ]
    shell.show({"exclusions": found}, table("Exclusions", columns, rows))


def _document(status: "ExclusionStatus") -> dict[str, Any]:
    return {
        "exclusion_seq": status.exclusion_seq,
        "time": format_time(status.time_us),
        "actor": status.actor,
        "reason": status.reason,
        "selection": status.selection,
        "labels": status.labels,
        "transactions": status.transactions,
        "muted": status.muted,
        "undone_seq": status.undone_seq,
        "also_hidden_by": list(status.also_hidden_by),
        "tainted": list(status.tainted),
        "steps": [
            {"step": step.step, "done": step.done, "time": format_time(step.time_us), "text": step.text}
            for step in status.steps
        ],
    }


def _standing(status: dict[str, Any]) -> str:
    """Say how far an exclusion has come: its last step that is done."""
    done = [step["step"] for step in status["steps"] if step["done"]]
    return f"{done[-1]} (muted)" if status["muted"] else str(done[-1])
