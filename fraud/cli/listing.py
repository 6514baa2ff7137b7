"""`fraud list`: who is blocked or let through whatever the model says; a running scorer changes it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.looking_back import look_back
from fraud.cli.paging import first_of_pages
from fraud.cli.shell import Shell, shell_of, table
from fraud.cli.times import format_time, parse_moment_us, service_now_us
from fraud.clock import LATEST_US
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.v1.policy_pb2 import Listing

app = typer.Typer(no_args_is_help=True, help="Block and allow lists of cards, merchants, devices, …")

_Entity = Annotated[str, typer.Argument(help="Its kind, e.g. card.")]
_Token = Annotated[str, typer.Argument(help="Its token, as payments carry it.")]
_Until = Annotated[str, typer.Option(help="30d from now, or a moment; default: without end.")]
_Reason = Annotated[str, typer.Option(help="Kept; must not hold the token.")]
_Actor = Annotated[str | None, typer.Option(help="Kept; default: your identity or user.")]
_Target = Annotated[str | None, typer.Option(help="host:port of the server.")]
_COLUMNS = ["list", "entity", "surrogate", "since", "until", "by", "reason"]


@app.command("block")
def block(
    ctx: typer.Context,
    entity: _Entity,
    token: _Token,
    reason: _Reason,
    until: _Until = "",
    actor: _Actor = None,
    target: _Target = None,
) -> None:
    """Decline every payment of an entity, before rules and model are asked."""
    _put(ctx, "block", entity, token, until, actor, reason, target)


@app.command("allow")
def allow(
    ctx: typer.Context,
    entity: _Entity,
    token: _Token,
    reason: _Reason,
    until: _Until = "",
    actor: _Actor = None,
    target: _Target = None,
) -> None:
    """Approve every payment of an entity, unless another one of it is blocked."""
    _put(ctx, "allow", entity, token, until, actor, reason, target)


@app.command("remove")
def remove(
    ctx: typer.Context,
    entity: _Entity,
    token: _Token,
    reason: _Reason,
    actor: _Actor = None,
    target: _Target = None,
) -> None:
    """Take an entity off whichever list it is on."""
    _put(ctx, "", entity, token, "", actor, reason, target)


@app.command("show")
def show(
    ctx: typer.Context,
    entity: Annotated[str, typer.Argument(help="Only of this kind.")] = "",
    token: Annotated[str, typer.Argument(help="Only this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1_000,
    target: _Target = None,
) -> None:
    """Show who is listed now; by number, because a token is kept in one place only."""
    shell = shell_of(ctx)
    found, more = look_back(
        shell,
        target,
        lambda reader: first_of_pages(
            lambda page: reader.list_listings(entity=entity, token=token, page_token=page),
            lambda reply: (list(reply.listings), reply.next_page_token),
            limit,
        ),
    )
    if more:
        shell.note(f"there are more than {limit}; see the others with --limit")
    documents = [_document(each) for each in found]
    rows = [list(each.values()) for each in documents]
    shell.show({"listings": documents, "more": more}, table("Listed now", _COLUMNS, rows))


def _put(
    ctx: typer.Context,
    list_name: str,
    entity: str,
    token: str,
    until: str,
    actor: str | None,
    reason: str,
    target: str | None,
) -> None:
    shell = shell_of(ctx)
    until_us = _moment(shell, until) if until else 0
    if until_us > LATEST_US:
        raise InvalidInput("--until", f"{until!r} lies after 2099", "give an earlier moment, or none")
    with shell.client(target) as client:
        reply = client.set_listing(
            list_name,
            entity,
            token,
            until_us=until_us,
            actor=shell.signer(actor),
            reason=reason,
        )
    document = {
        "list": list_name,
        "entity": entity,
        "surrogate": reply.surrogate,
        "until": format_time(until_us) if until_us else None,
        "former": reply.former,
    }
    where = f"is on the {list_name} list" if list_name else "is on no list now"
    ends = f" until {document['until']}" if until_us else ""
    before = f"; it was on the {reply.former} list" if reply.former else ""
    shell.show(document, f"{entity} #{reply.surrogate} {where}{ends}{before}")


def _moment(shell: Shell, text: str) -> int:
    """Return the moment that `30d` or a time means, µs UTC; a duration counts from the service's now."""
    from fraud.settings.durations import parse_duration_us

    try:
        span_us = parse_duration_us(text)
    except ValueError:
        try:
            return parse_moment_us(text, "--until")
        except InvalidInput:
            remedy = "write it like 30d, or 2026-03-01T12:00:00Z"
            raise InvalidInput("--until", f"{text!r} is neither a duration nor a time", remedy) from None
    return service_now_us(shell.settings) + span_us


def _document(listing: "Listing") -> dict[str, Any]:
    return {
        "list": listing.list_name,
        "entity": listing.entity,
        "surrogate": listing.surrogate,
        "since": format_time(listing.since_us),
        "until": format_time(listing.until_us) if listing.until_us else None,
        "by": listing.actor,
        "reason": listing.reason,
    }
