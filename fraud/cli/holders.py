"""Who holds what a start of the service needs: its data folder and its ports.

data folder   lock files, which name their process
port          tried by listening on it; then /proc: listening socket → inode → process that has it open

A process whose supervisor is gone drains by itself (see `supervised`), so it holds nothing for long.
"""

import errno
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fraud.cli.supervised import is_left_behind
from fraud.errors import NotAllowedNow

if TYPE_CHECKING:
    from fraud.settings import Settings

_PROC = Path("/proc")
_LISTENS = "0A"
"""State of a socket in /proc/net/tcp."""


def check_free(settings: "Settings") -> None:
    """Refuse a start beside a service that would keep it from ever running; nothing is written.

    Raises:
        DataFolderLocked: another process is scorer or retrainer of the data folder.
        NotAllowedNow: a port is taken.
    """
    from fraud.eventlog.lock import Role, holder_of, locked_by

    roles: tuple[Role, ...] = ("scorer", "retrainer")
    for role in roles:
        holder = holder_of(settings.data_dir, role)
        if holder is not None and not is_left_behind(holder):
            raise locked_by(settings.data_dir, role, holder)
    server, monitoring = settings.server, settings.monitoring
    for key, host, port in (
        ("server.port", server.host, server.port),
        ("monitoring.scorer_port", monitoring.host, monitoring.scorer_port),
        ("monitoring.retrainer_port", monitoring.host, monitoring.retrainer_port),
    ):
        if port > 0 and is_taken(bind_error(host, port)):
            _check_port(key, host, port)


def _check_port(key: str, host: str, port: int) -> None:
    holders = holders_of_port(port)
    if holders and all(is_left_behind(pid) for pid in holders):
        return
    raise NotAllowedNow(f"{key}: {host}:{port} is held by {named(holders)}; end it, or choose another {key}")


def named(holders: Mapping[str, str]) -> str:
    """Return for people who holds a port.

    >>> named({"17": "python"})
    'process 17 (python)'
    """
    each = [f"process {pid} ({holders[pid]})" for pid in sorted(holders)]
    return ", ".join(each) or "a process that this user may not see"


def bind_error(host: str, port: int) -> OSError | None:
    """Return why nobody can listen on an address now; None: one can."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host.strip("[]"), port), family=family).close()
    except OSError as error:
        return error
    return None


def is_taken(error: OSError | None) -> bool:
    """Tell whether somebody else listens there; what else is wrong may pass, as at the boot of a machine."""
    return error is not None and error.errno == errno.EADDRINUSE


def holders_of_port(port: int) -> dict[str, str]:
    """Return the processes that listen on a port, id to name, as far as this user may see them."""
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    found: dict[str, str] = {}
    for process in _PROC.glob("[0-9]*") if wanted else ():
        try:
            if any(str(each.readlink()) in wanted for each in (process / "fd").iterdir()):
                found[process.name] = (process / "comm").read_text().strip()
        except OSError:
            continue  # another user's, or it has ended
    return found


def _listening(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            rows = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            cells = row.split()
            if cells[3] == _LISTENS and int(cells[1].rpartition(":")[2], 16) == port:
                yield cells[9]
