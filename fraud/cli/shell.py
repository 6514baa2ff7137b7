"""What every command shares: the configuration, the client, and how results are printed.

A result is printed once: as a table for people, or as one JSON document for
machines. Progress and notes go to stderr, so stdout holds the result alone.
"""

import enum
import getpass
import json
import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.client import Client, Credentials
    from fraud.settings import Settings


_TURNS: Final = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""What turns the direction of writing."""
_IDS: Final = frozenset(
    (
        "attack",
        "batch",
        "champion",
        "entry",
        "intended",
        "policy",
        "serves",
        "surrogate",
        "transaction",
        "version",
    )
)
"""Columns of ids: whoever copies or greps one wants it whole, so these are never folded."""
_PIPED_WIDTH: Final = 400
"""Where stdout is no terminal: whole rows for pipes and files."""
_FOLDED_WIDTH: Final = 10
"""What every other column has at least beside ids that are wider than the terminal."""


class Output(enum.StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


@dataclass
class Shell:
    """One invocation of the command line; made by the app, handed to its command."""

    config: Path
    output: Output

    @cached_property
    def settings(self) -> "Settings":
        """Read the configuration; raises ConfigError. What is logged from then on goes to stderr."""
        from fraud.cli.logs import send_logs
        from fraud.settings import load_settings

        settings = load_settings(self.config, os.environ)
        # No part of a command's result, which may be JSON; `write_logs` is for those that run on.
        send_logs("warning", as_json=self.output is Output.JSON)
        return settings

    def now_us(self) -> int:
        """Return now by the clock of the service, µs UTC; with --target and no configuration, by our own."""
        from fraud.cli.times import service_now_us
        from fraud.clock import WallClock

        return service_now_us(self.settings) if self.config.exists() else WallClock().now_us()

    def target(self, target: str | None) -> str:
        """Return the server's `host:port`: as given, or from the configuration."""
        if target is not None:
            return target
        server = self.settings.server
        # A server that listens everywhere is reached on this machine.
        host = "127.0.0.1" if server.host in ("0.0.0.0", "::", "[::]") else server.host
        return f"{host}:{server.port}"

    @cached_property
    def credentials(self) -> "Credentials":
        """How we show ourselves to the server; raises ConfigError."""
        from fraud.client.credentials import TOKEN_VARIABLE, Credentials, credentials_of
        from fraud.settings.access import ClientSection

        if self.config.exists():
            return credentials_of(self.settings.client, os.environ)
        # With --target no configuration is needed.
        plain = TOKEN_VARIABLE not in os.environ
        return Credentials() if plain else credentials_of(ClientSection(), os.environ)

    def client(self, target: str | None, *, deadline_s: float = 30.0, retries: int = 3) -> "Client":
        """Connect to the server; the caller closes the client. Nine retries wait about five seconds."""
        from fraud.client import Client

        return Client(
            self.target(target), deadline_s=deadline_s, retries=retries, credentials=self.credentials
        )

    def signer(self, actor: str | None) -> str:
        """Return who signs: as given; else nobody, when the server can tell by itself; else the user."""
        if actor:
            return actor
        return "" if self.credentials.tell_who else user_name()

    def local_signer(self, actor: str | None) -> str:
        """Return who signs what goes into the data folder past the server.

        With identities on that is the user of this machine, and nobody else: no
        identity was shown, and `local:` is a prefix that none has.

        Raises:
            InvalidInput: another one is given.
        """
        if self.settings.server.identities.file is None:
            return actor or user_name()
        who = f"local:{user_name()}"
        if actor not in (None, who):
            raise InvalidInput(
                "--actor", f"says {actor!r}, but {who} writes", "leave it out: identities are on"
            )
        return who

    def show(self, document: Any, *tables: Table | str) -> None:
        """Print the tables for people, or `document` as JSON."""
        if self.output is Output.JSON:
            typer.echo(json.dumps(_finite(document), ensure_ascii=False, allow_nan=False))
            return
        console = console_of()
        width = console.width
        for table in tables:
            if isinstance(table, str):
                console.print(printable(table), soft_wrap=True)
            elif not table.row_count:
                console.print(f"{table.title}: none")
            else:
                # A height, too, or a terminal called dumb has 80 columns whatever is set.
                console.size = (max(width, _width_for_ids(table)), console.height)
                console.print(table)

    def note(self, text: str) -> None:
        """Tell people something beside the result; silent for machines."""
        if self.output is Output.TABLE:
            typer.echo(printable(text), err=True)

    def caution(self, text: str) -> None:
        """Tell people and machines what the result alone does not say, on stderr."""
        if self.output is Output.JSON:
            text = json.dumps({"note": text}, ensure_ascii=False)
        typer.echo(printable(text), err=True)

    def write_logs(self) -> None:
        """Send the logs of this process to stderr, as [monitoring] and --output say."""
        from fraud.cli.logs import write_logs

        write_logs(self.settings.monitoring.log_level, as_json=self.output is Output.JSON)

    def progress(self) -> Progress:
        """Return a progress bar on stderr; hidden for machines."""
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console_of(stderr=True),
            disable=self.output is Output.JSON,
        )


def console_of(*, stderr: bool = False) -> Console:
    """Return a console that shows text as it is: nothing in it is markup or the name of an emoji."""
    console = Console(stderr=stderr, emoji=False, markup=False, highlight=False)
    if not stderr and not console.file.isatty():
        console.width = _PIPED_WIDTH
    return console


def user_name() -> str:
    """Return the name of the user of this machine.

    Raises:
        InvalidInput: it has none, as in a container that runs as some number.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        problem = f"is not given, and user {os.getuid()} of this machine has no name"
        raise InvalidInput("--actor", problem, "say who you are, or set LOGNAME") from None


def _finite(document: Any) -> Any:
    """Return JSON values without NaN and infinities, which JSON does not have; null stands for them."""
    if isinstance(document, dict):
        return {key: _finite(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def ready(target: str, timeout_s: float) -> None:
    """Wait until a server serves, trusting whom the configuration of FRAUD_CONFIG trusts; for health checks.

    Raises:
        Unavailable: it does not within `timeout_s`.
    """
    with _configured().client(target) as client:
        client.wait_ready(timeout_s)


def retrainer_ready() -> None:
    """Read the retrainer's metrics, as the configuration of FRAUD_CONFIG guards them; for health checks.

    Raises:
        OSError, http.client.HTTPException: nothing answers, or it does not let us in.
    """
    from fraud.monitoring.scrape import Endpoint

    settings = _configured().settings
    monitoring = settings.monitoring
    Endpoint.of(monitoring, settings.client, monitoring.retrainer_port).read("fraud_build_info")


def _configured() -> Shell:
    return Shell(Path(os.environ.get("FRAUD_CONFIG", "fraud.toml")), Output.JSON)


def shell_of(ctx: typer.Context) -> Shell:
    """Return the shell that the app made for this invocation."""
    shell = ctx.find_object(Shell)
    if shell is None:
        raise RuntimeError("the app's callback did not run")
    return shell


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Build a table; cells are shown as they are, None as a dash. No column names: no header."""
    made = Table(
        title=Text(printable(title)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(columns),
    )
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in _IDS)
    for row in rows:
        made.add_row(*(Text("–" if cell is None else printable(str(cell))) for cell in row))
    return made


def _width_for_ids(table: Table) -> int:
    """Return what a table takes when its ids are whole and other cells are folded as far as can be read."""
    ids = [column for column in table.columns if column.no_wrap]
    if not ids:
        return 0
    widest = sum(max(map(cell_len, map(str, (column.header, *column.cells)))) + 2 for column in ids)
    return widest + (_FOLDED_WIDTH + 2) * (len(table.columns) - len(ids))


def printable(text: str) -> str:
    r"""Return a text without what a terminal would obey: ids, reasons and comments come from anywhere.

    >>> printable("a\x1b[2Jb\u202ec")
    'a�[2Jb�c'
    """
    return "".join(it if it in "\n\t" or not _is_obeyed(it) else "\ufffd" for it in text)


def _is_obeyed(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cs") or unicodedata.bidirectional(letter) in _TURNS


def file_for(path: Path) -> Path:
    """Return where `--out` may write.

    Raises:
        InvalidInput: there is no such folder, or it is a folder; told before the work, not after it.
    """
    if path.is_dir():
        raise InvalidInput("--out", f"{path} is a folder", "name a file in it")
    if not path.parent.is_dir():
        raise InvalidInput("--out", f"there is no folder {path.parent}", "make it, or name another file")
    return path
