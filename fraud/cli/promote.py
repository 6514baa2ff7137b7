"""`fraud promote VERSION`: a named person makes a version the champion.

In approval mode (gate.mode) every promotion waits for this; in either mode it
promotes by --override what the gate does not stand behind, on the record.
"""

from typing import Annotated

import typer

from fraud.cli.asked import wait_for_second
from fraud.cli.shell import shell_of, table

_DEADLINE_S = 60.0


def promote(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="e.g. card-7; 'fraud versions' shows what awaits approval.")],
    reason: Annotated[str, typer.Option(help="Stands in the ledger.")],
    actor: Annotated[
        str | None,
        typer.Option(help="Stands in the ledger; default: your identity or user."),
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Although the gate does not stand behind it; kept on record.")
    ] = False,
    instead_of: Annotated[
        str, typer.Option(help="Only if this is the champion still; default: whichever is.")
    ] = "",
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Promote a version: one that awaits approval, or another by override."""
    shell = shell_of(ctx)
    with shell.client(target, deadline_s=_DEADLINE_S) as client:
        reply = client.promote(
            version,
            actor=shell.signer(actor),
            reason=reason,
            override=override,
            instead_of=instead_of,
        )
    if reply.asked_seq:
        wait_for_second(shell, f"Promotion of {reply.to_version}", reply.asked_seq, reply.asked_until_us)
    document = {
        "model": reply.model,
        "from_version": reply.from_version,
        "to_version": reply.to_version,
        "policy_version": reply.policy_version,
        "ledger_seq": reply.ledger_seq,
        "overridden": reply.overridden,
        "superseded": list(reply.superseded),
        "applied": reply.applied,
        "seconds": reply.seconds,
    }
    facts = [
        ("from", reply.from_version or "no champion"),
        ("to", f"{reply.to_version}, policy {reply.policy_version}"),
        ("passed over", reply.overridden or None),
        ("superseded", ", ".join(reply.superseded) or None),
        ("ledger entry", reply.ledger_seq),
        ("serves", f"after {reply.seconds:.3f} s" if reply.applied else "no"),
    ]
    shell.show(document, table(f"Promotion of {reply.model}", ["", ""], facts))
    if not reply.applied:
        shell.note("the scorer refused the version, and the one before serves on; see 'fraud history'")
        raise typer.Exit(1)
