"""`fraud erase --entity card=TOKEN`: what would be erased, a question, and the erasure.

The token goes to the scorer and nowhere else. Given as `-` it is read from
stdin, so that it does not stay in the history of the shell.
"""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import Output, Shell, shell_of, table
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.client import Client
    from fraud.v1.models_pb2 import EraseEntityResponse

_ASK_EVERY_S = 0.5


def erase(
    ctx: typer.Context,
    entity: Annotated[str, typer.Option(help="Whom: NAME=TOKEN, e.g. card=tok_8f2c; NAME=- reads stdin.")],
    reason: Annotated[str, typer.Option(help="Stands in the ledger, so leave the token out.")] = "",
    actor: Annotated[
        str | None,
        typer.Option(help="Stands in the ledger; default: your identity or user."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be erased.")] = False,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Erase a person: the token, personal fields, comments; in log, archive and old files."""
    shell = shell_of(ctx)
    name, token = _named(entity)
    with shell.client(target, deadline_s=120.0) as client:
        reply = client.erase_entity(name, token, dry_run=True)
        before = reply.repeated
        if dry_run:
            _show(shell, reply, f"Would be erased: {name} {reply.surrogate}")
            return
        if not (yes or before):
            _ask(shell, reply)
        if not before:
            reply = client.erase_entity(name, token, actor=shell.signer(actor), reason=reason)
        reply = _wait(shell, client, reply)
        reply.repeated = before  # asking how far it has come finds it begun, by this command
    _show(shell, reply, f"Erased: {name} {reply.surrogate}, ledger entry {reply.ledger_seq}")


def _named(entity: str) -> tuple[str, str]:
    name, equals, token = entity.partition("=")
    if not (name and equals and token):
        raise InvalidInput("--entity", "is not NAME=TOKEN", "write it like card=tok_8f2c, or card=-")
    return name, sys.stdin.readline().rstrip("\n") if token == "-" else token


def _ask(shell: Shell, plan: "EraseEntityResponse") -> None:
    if not sys.stdin.isatty() or shell.output is Output.JSON:
        raise InvalidInput("--yes", "is missing, and there is nobody to ask", "give it, or try --dry-run")
    _show(shell, plan, f"Will be erased: {plan.entity} {plan.surrogate}")
    typer.confirm("Erase it? This cannot be undone", abort=True, err=True)


def _wait(shell: Shell, client: "Client", reply: "EraseEntityResponse") -> "EraseEntityResponse":
    """Ask until it is complete; whoever breaks off leaves the scorer to finish."""
    told = ""
    while not reply.complete:
        if reply.waiting_for != told:
            told = reply.waiting_for
            shell.note(f"the token is erased; the rest goes on by itself, and waits: {told}")
        time.sleep(_ASK_EVERY_S)
        reply = client.erase_entity(reply.entity, surrogate=reply.surrogate)
    return reply


def _show(shell: Shell, reply: "EraseEntityResponse", title: str) -> None:
    document: dict[str, Any] = {
        "entity": reply.entity,
        "surrogate": reply.surrogate,
        "transactions": reply.transactions,
        "fields": reply.fields,
        "comments": reply.comments,
        "linked": {it.entity: {"erased": it.erased, "kept": it.kept} for it in reply.linked},
        "complete": reply.complete,
        "ledger_seq": reply.ledger_seq,
        "repeated": reply.repeated,
        "not_touched": list(reply.backups),
    }
    rows: list[tuple[str, object]] = [
        ("transactions of it, which stay", reply.transactions),
        ("values of personal fields, blanked", reply.fields),
        ("comments on labels, blanked", reply.comments),
    ]
    for it in reply.linked:
        rows.append((f"tokens of {it.entity} that stand nowhere else, erased with it", it.erased))
        if it.kept:
            rows.append((f"tokens of {it.entity} that others have, too: they stay", it.kept))
    lines = [f"not touched: {path} — restore it and erase there, or delete it" for path in reply.backups]
    if reply.repeated:
        lines.insert(0, "it had been erased before; nothing was done now")
    shell.show(document, table(title, ["what", "number"], rows), *lines)
