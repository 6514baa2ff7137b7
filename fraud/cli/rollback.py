"""`fraud rollback`: a former champion serves again, with its thresholds; or what that would mean.

--before T    what served just before a moment
--to V        a former champion by name
--dry-run     changes nothing: what would serve, and its alerts on recent traffic under both views of
              the labels: all that are known, and without those that arrived since T
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fraud.cli.asked import wait_for_second
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time, parse_moment_us
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.client import Client
    from fraud.v1.models_pb2 import RollbackResponse

_DEADLINE_S = 120.0


def rollback(
    ctx: typer.Context,
    model: Annotated[str, typer.Option(help="May be left out with --to, or when there is one model.")] = "",
    before: Annotated[str | None, typer.Option(help="To what served just before this moment.")] = None,
    to: Annotated[str, typer.Option(help="To this version, e.g. card-7.")] = "",
    mute_labels_since: Annotated[
        str | None, typer.Option(help="Labels that arrived since then count no more until reviewed.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do.")] = False,
    reason: Annotated[str, typer.Option(help="Stands in the ledger; required but for a dry run.")] = "",
    actor: Annotated[
        str | None,
        typer.Option(help="Stands in the ledger; default: your identity or user."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None,
) -> None:
    """Put a former champion back in service."""
    shell = shell_of(ctx)
    if (before is None) == (not to):
        raise InvalidInput(
            "--before, --to", "must be given one or the other", "say a moment, or name a version"
        )
    if not reason and not dry_run:
        raise InvalidInput("--reason", "is not given", "say why; it stands in the ledger")
    before_us = 0 if before is None else parse_moment_us(before, "--before")
    mute_us = 0 if mute_labels_since is None else parse_moment_us(mute_labels_since, "--mute-labels-since")
    # Without a moment to mute from, a dry run compares with the labels since T muted.
    compared_us = mute_us or (before_us if dry_run else 0)
    with shell.client(target, deadline_s=_DEADLINE_S) as client:
        reply = client.rollback(
            model or _only_model(shell, client, to),
            before_us=before_us,
            version=to,
            mute_labels_since_us=compared_us,
            dry_run=dry_run,
            actor=shell.signer(actor),
            reason=reason,
        )
    if reply.asked_seq:
        wait_for_second(shell, f"Rollback to {reply.to_version}", reply.asked_seq, reply.asked_until_us)
    document = _document(reply) | {
        "dry_run": dry_run,
        "mute_labels_since": format_time(mute_us),
        "compared_since": format_time(compared_us),
    }
    shell.show(document, *_tables(document))
    if not dry_run and not reply.applied:
        shell.note("the scorer refused the version, and the one before serves on; see 'fraud history'")
        raise typer.Exit(1)


def _only_model(shell: Shell, client: "Client", to: str) -> str:
    """Return the model that is meant when none is named."""
    if to:
        return client.get_version(to).version.model
    models = list(shell.settings.models)
    if len(models) > 1:
        raise InvalidInput("--model", "is not given", f"name one of: {', '.join(models)}")
    return models[0]


def _document(reply: "RollbackResponse") -> dict[str, Any]:
    return {
        "model": reply.model,
        "from_version": reply.from_version,
        "to_version": reply.to_version,
        "policy_version": reply.policy_version,
        "muted_labels": reply.muted_labels,
        "ledger_seq": reply.ledger_seq,
        "mute_seq": reply.mute_seq,
        "applied": reply.applied,
        "seconds": reply.seconds,
        "forecasts": [
            {
                "view": each.view,
                "version": each.version,
                "rows": each.rows,
                "alerts": each.alerts,
                "declines": each.declines,
                "alert_rate": each.alerts / each.rows if each.rows else None,
            }
            for each in reply.forecasts
        ],
    }


def _tables(document: dict[str, Any]) -> list[Table | str]:
    count, muted, compared = (
        document[key] for key in ("muted_labels", "mute_labels_since", "compared_since")
    )
    labels = f"{count} that arrived since {muted}" if muted else "none"
    if compared and not muted:
        labels = f"none; --mute-labels-since {compared} would mute {count}"
    facts: list[tuple[object, object]] = [
        ("from", document["from_version"] or "no champion"),
        ("to", f"{document['to_version']}, policy {document['policy_version']}"),
        ("muted labels", labels),
    ]
    if document["dry_run"]:
        title = f"Dry run of a rollback of {document['model']}"
        return [table(title, ["", ""], facts), *_forecasts(document["forecasts"])]
    facts += [
        ("ledger entry", document["ledger_seq"]),
        ("serves", f"after {document['seconds']:.3f} s" if document["applied"] else "no"),
    ]
    return [table(f"Rollback of {document['model']}", ["", ""], facts)]


def _forecasts(forecasts: list[dict[str, Any]]) -> list[Table | str]:
    columns = ["labels", "version", "payments", "alerts", "alert rate", "declines"]
    rows = [
        (each["view"], each["version"], each["rows"], each["alerts"], _rate(each), each["declines"])
        for each in forecasts
    ]
    now = [each for each in forecasts if each["view"] == "now"]
    then = [f"{_rate(each)} ({each['view']})" for each in forecasts if each["view"] != "now"]
    line = f"alert rate: {_rate(now[0]) if now else 'none'} now → {', '.join(then)}"
    return [table("Forecast on recent traffic", columns, rows), line]


def _rate(forecast: dict[str, Any]) -> str:
    rate = forecast["alert_rate"]
    return "–" if rate is None else f"{rate:.2%}"
