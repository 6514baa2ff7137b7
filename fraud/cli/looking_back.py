"""Where a command that looks back reads: the scorer, or the data folder while none runs.

The scorer is asked first, for it alone knows what is in shadow. Where it does not answer, nobody has the
folder's lock, and no other server was named, what the folder holds is read as it stands, and stderr says so.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, Union

from fraud.cli.shell import Shell
from fraud.errors import Unavailable

if TYPE_CHECKING:
    from fraud.client import Client
    from fraud.serving.at_rest import FolderReader

Found = TypeVar("Found")
Reader = Union["Client", "FolderReader"]


def look_back(
    shell: Shell, target: str | None, look: Callable[[Reader], Found], *, deadline_s: float = 30.0
) -> Found:
    """Return what `look` reads.

    Raises:
        Unavailable: the server does not answer, and the folder is not at rest or not here.
        FraudError: what `look` raises.
    """
    try:
        with shell.client(target, deadline_s=deadline_s) as client:
            return look(client)
    except Unavailable:
        if target is not None or not _is_at_rest(shell):
            raise
    from fraud.serving.at_rest import FolderReader

    with FolderReader(shell.settings) as reader:
        found = look(reader)
    # After the look: an error is told alone.
    shell.caution(f"no scorer runs: read from {shell.settings.data_dir}, as it was left")
    return found


def _is_at_rest(shell: Shell) -> bool:
    from fraud.eventlog.lock import holder_of

    places = shell.settings.places
    try:
        there = places.ledger.is_file() and places.log.is_file()
        return there and holder_of(shell.settings.data_dir, "scorer") is None
    except OSError:
        return False  # somebody else's folder
