"""`fraud token`: who may call the server, and as what.

add, rotate, expire, revoke and list work on the file of identities ([server.identities] file), which a
running server reads again within a second; whoami asks the server. A token is shown once, on stdout.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud.cli.shell import Shell, shell_of, table, user_name
from fraud.cli.times import format_time, parse_moment_us
from fraud.clock import SECOND_US, WallClock
from fraud.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from fraud.serving.credentials import Credential
    from fraud.serving.identity_desk import IdentityDesk

app = typer.Typer(no_args_is_help=True, help="Who may call the server: tokens, certificates, roles.")

_Id = Annotated[str, typer.Argument(metavar="ID", help="Its id; 'fraud token list' shows it.")]
_Ends = Annotated[str, typer.Option(help="30d from now, a moment, or never; default: identities.life.")]
_NEVER = "never"


@app.command("add")
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The identity: a person or a system; stands in the ledger.")],
    role: Annotated[
        list[str], typer.Option(help="scorer, analyst, operator, auditor, raw_scores; repeat it for several.")
    ],
    certificate: Annotated[
        str, typer.Option(help="Instead of a token: cn:NAME or san:NAME of a client certificate.")
    ] = "",
    expires: _Ends = "",
) -> None:
    """Let an identity in, by a new token or by its certificate."""
    shell = shell_of(ctx)
    now_us = _now_us()
    made, token = _desk(shell).add(
        name, tuple(dict.fromkeys(role)), subject=certificate, now_us=now_us,
        expires_us=_end(shell, expires, now_us),
    )  # fmt: skip
    _show_once(shell, made, token)


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    which: Annotated[str, typer.Argument(help="Id of a token, or the identity when it has one.")],
    grace: Annotated[str, typer.Option(help="How long the old one still lets in.")] = "1h",
    expires: _Ends = "",
) -> None:
    """Make a new token with the same rights; the old one ends after the grace."""
    shell = shell_of(ctx)
    now_us = _now_us()
    made, token = _desk(shell).rotate(
        which,
        now_us=now_us,
        expires_us=_end(shell, expires, now_us),
        grace_us=_span_us(grace, "--grace"),
    )
    _show_once(shell, made, token)


@app.command("expire")
def expire(
    ctx: typer.Context, id_: _Id, at: Annotated[str, typer.Option(help="30d from now, a moment, or never.")]
) -> None:
    """Let a token or certificate end at another moment."""
    shell = shell_of(ctx)
    now_us = _now_us()
    changed = _desk(shell).expire(id_, now_us=now_us, expires_us=_end(shell, at, now_us))
    _show_changed(shell, changed)


@app.command("revoke")
def revoke(ctx: typer.Context, id_: _Id) -> None:
    """End a token or certificate now; a running server knows within server.identities.reload_every."""
    shell = shell_of(ctx)
    _show_changed(shell, _desk(shell).revoke(id_, now_us=_now_us()))


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List who may call, by what; no secret is known here."""
    shell = shell_of(ctx)
    found = [_document(it) for it in _desk(shell).credentials()]
    columns = ["id", "identity", "rights", "shown by", "since", "by", "expires", "stands"]
    rows = [
        (
            it["id"],
            it["name"],
            ", ".join(it["rights"]),
            it["subject"] or "token",
            it["made"],
            it["made_by"],
            it["expires"] or _NEVER,
            it["standing"],
        )
        for it in found
    ]
    shell.show({"credentials": found}, table("Identities", columns, rows))


@app.command("whoami")
def whoami(
    ctx: typer.Context, target: Annotated[str | None, typer.Option(help="host:port of the server.")] = None
) -> None:
    """Ask the server whom it takes us for."""
    shell = shell_of(ctx)
    with shell.client(target) as client:
        reply = client.who_am_i()
    document = {"name": reply.name, "roles": list(reply.roles), "raw_scores": reply.raw_scores}
    seen = "scores" if reply.raw_scores else "bands"
    known = f"{reply.name}: {', '.join(reply.roles)}; sees {seen}"
    shell.show(document, known if reply.name else "identities are off: every caller may do everything")


def _desk(shell: Shell) -> "IdentityDesk":
    from fraud.serving.identity_desk import IdentityDesk

    path = shell.settings.server.identities.file
    if path is None:
        raise ConfigError(
            f'{shell.config}: server.identities.file: is not given; write file = "identities.json" under '
            "[server.identities]"
        )
    return IdentityDesk(path, made_by=user_name())


def _now_us() -> int:
    """Return the time, whole seconds: nobody needs to read more in a list."""
    return WallClock().now_us() // SECOND_US * SECOND_US


def _end(shell: Shell, text: str, now_us: int) -> int:
    """Return when a credential ends, µs UTC; 0: never."""
    if text == _NEVER:
        return 0
    if not text:
        return now_us + shell.settings.server.identities.life
    from fraud.settings.durations import parse_duration_us

    try:
        return now_us + parse_duration_us(text)
    except ValueError:
        return parse_moment_us(text, "--expires")


def _span_us(text: str, option: str) -> int:
    from fraud.settings.durations import parse_duration_us

    try:
        return parse_duration_us(text)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise InvalidInput(option, problem, remedy) from None


def _document(it: "Credential") -> dict[str, Any]:
    return {
        "id": it.id,
        "name": it.name,
        "rights": list(it.rights),
        "subject": it.subject,
        "made": format_time(it.made_us),
        "made_by": it.made_by,
        "expires": format_time(it.expires_us),
        "standing": it.standing(_now_us()),
    }


def _show_once(shell: Shell, made: "Credential", token: str) -> None:
    ends = f"until {format_time(made.expires_us)}" if made.expires_us else "without end"
    shell.note(f"{made.name} ({', '.join(made.rights)}), credential {made.id}, {ends}")
    if token:
        shell.note("the token is shown this once and kept nowhere; put it into a file only its user may read")
    shell.show(
        _document(made) | {"token": token}, token or f"the certificate {made.subject} lets {made.name} in"
    )


def _show_changed(shell: Shell, changed: "Credential") -> None:
    document = _document(changed)
    until = document["expires"] or _NEVER
    shell.show(document, f"{changed.name}, credential {changed.id}: {document['standing']}, expires {until}")
