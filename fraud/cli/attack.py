"""`fraud attack`: attacks that a person has confirmed, so that the gate judges them by themselves.

`confirm` names the payments, `list` shows the attacks in force, `end` lets one go. All work on the
data folder, beside a running service or without one; each change is an entry of the ledger.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time, parse_time_us
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.registry.attacks import Attack
    from fraud.retrainer.attacks import AttackDesk

app = typer.Typer(no_args_is_help=True, help="Confirm an attack, for the gate's emergency way.")

_Reason = Annotated[str, typer.Option(help="Stands in the ledger.")]
_Actor = Annotated[str | None, typer.Option(help="Stands in the ledger; default: your user.")]
_COLUMNS = ["attack", "model", "where", "since", "confirmed", "actor", "reason"]


@app.command("confirm")
def confirm(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="The model that has to catch it.")],
    where: Annotated[
        list[str], typer.Option(help="merchant=TOKEN or country=XX; all given must hold for a payment.")
    ],
    since: Annotated[str, typer.Option(help="Event time of its first payments.")],
    reason: _Reason,
    actor: _Actor = None,
) -> None:
    """Confirm an attack; a challenger that is better on it may then be promoted by a person."""
    shell = shell_of(ctx)
    since_us = parse_time_us(since, "--since")
    with _desk(shell) as desk:
        attack = desk.confirm(
            model, [_pair(text) for text in where], since_us, actor=shell.local_signer(actor), reason=reason
        )
    _show(shell, [attack])


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the attacks in force."""
    shell = shell_of(ctx)
    with _desk(shell) as desk:
        _show(shell, desk.in_force())


@app.command("end")
def end(
    ctx: typer.Context,
    attack: Annotated[int, typer.Argument(help="Its number, the ledger entry that confirmed it.")],
    reason: _Reason,
    actor: _Actor = None,
) -> None:
    """Let an attack go: the gate looks at it no more."""
    shell = shell_of(ctx)
    with _desk(shell) as desk:
        ended = desk.end(attack, actor=shell.local_signer(actor), reason=reason)
    shell.show({"attack": ended.seq, "ended": True}, f"attack {ended.seq} of {ended.model!r} has ended")


@contextmanager
def _desk(shell: Shell) -> Iterator["AttackDesk"]:
    from fraud.retrainer.attacks import AttackDesk

    desk = AttackDesk.open(shell.settings)
    try:
        yield desk
    finally:
        desk.close()


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise InvalidInput("--where", f"{text!r} is no pair", "write it like merchant=m_17")
    return name, value


def _show(shell: Shell, attacks: Sequence["Attack"]) -> None:
    documents = [_document(attack) for attack in attacks]
    # Surrogates: tokens of persons stay in the log, where they can be erased.
    rows = [[*({**each, "where": _words(each)}[name] for name in _COLUMNS)] for each in documents]
    shell.show({"attacks": documents}, table("Attacks in force", _COLUMNS, rows))


def _words(document: dict[str, Any]) -> str:
    entities = (f"{name} #{surrogate}" for name, surrogate in document["entities"].items())
    words = (f"{name}={word}" for name, word in document["words"].items())
    return ", ".join([*entities, *words])


def _document(attack: "Attack") -> dict[str, Any]:
    return {
        "attack": attack.seq,
        "model": attack.model,
        "entities": dict(attack.entities),
        "words": dict(attack.words),
        "since": format_time(attack.since_us),
        "confirmed": format_time(attack.confirmed_us),
        "actor": attack.actor,
        "reason": attack.reason,
    }
