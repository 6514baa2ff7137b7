"""Which heading holds from which position on: noted when a writable log is opened for a service.

    entries    1 … 100   101 … 160   161 …
    headings   1  A      101  B      161  C      a service with other fields or features began to log

Entries hold numbers, words and features by place; from here their names are known
for good, whatever the configuration becomes. A log from before headings were noted
is taken to be of the first one.
"""

import json
import sqlite3

from fraud.documents import read_json
from fraud.errors import ConfigError
from fraud.eventlog.tables import noting
from fraud.records import Heading, Headings

_KEY = "heading:"


def heading_due(noted: Headings, heading: Heading, head: int, where: str) -> int | None:
    """Return the position from which on a heading is to be noted for a log that ends at `head`.

    None: it holds already. One under which nothing was logged is as if never noted.

    Raises:
        ConfigError: fields were moved or taken away, which would give words to other fields.
    """
    used = [held for since, held in noted if since <= head]
    if used:
        _check_fields(used[-1].numerics, heading.numerics, f"{where}: schema.numeric")
        _check_fields(used[-1].categoricals, heading.categoricals, f"{where}: schema.categorical")
    if noted and noted[-1][1] == heading:
        return None
    return head + 1 if used else 1


def _check_fields(before: tuple[str, ...], now: tuple[str, ...], where: str) -> None:
    for place, name in enumerate(before):
        if place >= len(now) or now[place] != name:
            raise ConfigError(
                f"{where}: {name} was logged in place {place + 1}, the configuration has "
                f"{now[place] if place < len(now) else 'nothing'} there; fields are only ever appended: put "
                f"{name} back in its place (it need not be required), new ones behind {before[-1]}"
            )


def hold_heading(connection: sqlite3.Connection, heading: Heading, head: int, where: str) -> None:
    """Note a heading where `heading_due` says so; inside a transaction of the caller."""
    since = heading_due(noted_headings(connection), heading, head, where)
    if since is not None:
        value = json.dumps([heading.numerics, heading.categoricals, heading.features])
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"{_KEY}{since}", value))


def noted_headings(connection: sqlite3.Connection) -> list[tuple[int, Heading]]:
    """Return the headings noted, by position; none where no service was held to any yet."""
    found = []
    for key, value in connection.execute(f"SELECT key, value FROM meta WHERE key GLOB '{_KEY}*'"):
        with noting(f"event log: {key}"):
            numerics, categoricals, features = read_json(value)
            pairs = tuple((str(name), str(definition)) for name, definition in features)
            since = int(key.removeprefix(_KEY))
            heading = Heading(tuple(map(str, numerics)), tuple(map(str, categoricals)), pairs)
        found.append((since, heading))
    return sorted(found, key=lambda it: it[0])
